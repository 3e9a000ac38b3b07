"""Who is let in by the HTTPS API: what is signed now, once, by a key that is valid; or who has a token."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.common.identity.attempts import BURST
from services.http_api.auth.signature import DATE_FORM
from tests.support.signed import Key, authorization, signed, trust
from tests.support.standalone import Standalone
from tests.support.tenants import Tenant

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

REFUSED = {
    "error_code": "EndPoint.0003",
    "error_msg": "Authentication failed or authentication information is invalid.",
}


def plain(sidegate: Standalone) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=sidegate.https, verify=trust(sidegate), timeout=30.0)


def sign(
    http: httpx.AsyncClient, key: Key, method: str, path: str, at: datetime | None = None, **more: Any
) -> httpx.Request:
    request = http.build_request(method, path, **more)
    request.headers["X-Sdk-Date"] = (at or datetime.now(UTC)).strftime(DATE_FORM)
    request.headers["Authorization"] = authorization(key, request)
    return request


def refused(answer: httpx.Response) -> bool:
    assert (answer.status_code, answer.json()) == (401, REFUSED), "one answer for everything that may be wrong"
    assert answer.headers["X-Request-Id"]
    return True


async def test_what_was_overheard_cannot_be_said_again(shop: Tenant, pay: Tenant) -> None:
    services = f"/v1/{pay.key.project_id}/vpc-endpoint-services"
    body = {
        "port_id": pay.ports[0],
        "vpc_id": pay.vpc,
        "server_type": "VM",
        "ports": [{"client_port": 1, "server_port": 1}],
    }
    async with plain(pay.sidegate) as http:
        request = sign(http, pay.key, "POST", services, json=body)
        made = await http.send(request)
        assert made.status_code == 200
        assert refused(await http.send(request)), "what makes something new, not even at once"
        read = sign(http, pay.key, "GET", services)
        assert [(await http.send(read)).status_code for _ in range(2)] == [200, 200]
        note = sign(http, pay.key, "PUT", f"{services}/{made.json()['id']}", json={"description": "x"})
        assert (await http.send(note)).status_code == 200
        await asyncio.to_thread(pay.delete_service, made.json()["id"])
        past = datetime.now(UTC) - timedelta(seconds=30)
        gone = sign(http, pay.key, "DELETE", f"{services}/{made.json()['id']}", at=past)
        assert (await http.send(gone)).status_code in (204, 404)
        assert refused(await http.send(gone))


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_clock_that_is_off_is_refused(shop: Tenant, minutes: int) -> None:
    async with plain(shop.sidegate) as http:
        at = datetime.now(UTC) + timedelta(minutes=minutes)
        assert refused(await http.send(sign(http, shop.key, "GET", f"/v1/{shop.key.project_id}/quotas", at=at)))


async def test_what_is_altered_or_not_signed_is_refused(shop: Tenant) -> None:
    path = f"/v1/{shop.key.project_id}/vpc-endpoints"
    async with plain(shop.sidegate) as http:
        assert refused(await http.get(path))
        assert refused(await http.get(path, headers={"X-Auth-Token": "eyJhbGciOiJub25lIn0.e30."}))
        for alter in ("path", "query", "header", "method", "body"):
            request = sign(http, shop.key, "PUT", f"{path}/x", json={"whitelist": []})
            match alter:
                case "path":
                    request.url = request.url.copy_with(path=f"{path}/y")
                case "query":
                    request.url = request.url.copy_with(query=b"a=b")
                case "header":
                    request.headers["X-Sdk-Date"] = (datetime.now(UTC) + timedelta(seconds=9)).strftime(DATE_FORM)
                case "method":
                    request.method = "DELETE"
                case "body":
                    said = {name: request.headers[name] for name in ("authorization", "x-sdk-date")}
                    request = http.build_request("PUT", f"{path}/x", json={"whitelist": ["*"]}, headers=said)
            assert refused(await http.send(request)), alter


async def test_a_key_that_is_revoked_is_refused_at_once(shop: Tenant) -> None:
    sidegate = shop.sidegate
    made = await asyncio.to_thread(sidegate.answer, "key", "create", shop.account, "--role", "viewer")
    key = Key.of(made)
    path = f"/v1/{key.project_id}/vpc-endpoints"
    async with signed(sidegate, key) as http:
        assert (await http.get(path)).status_code == 200
        written = await http.post(path, json={"endpoint_service_id": shop.vpc, "vpc_id": shop.vpc})
        assert written.status_code in (400, 404), "a viewer changes nothing"
        await asyncio.to_thread(sidegate.answer, "key", "revoke", key.access)
        assert refused(await http.get(path))


def forged(key: Key, token: str) -> str:
    """A token in the key's name, as anybody can write one who has seen another."""
    head, _, _ = token.split(".")
    claims = base64.urlsafe_b64encode(json.dumps({"sub": key.access, "account": key.account}).encode()).decode()
    return f"{head}.{claims.rstrip('=')}.{'A' * 86}"


async def test_forgeries_in_a_keys_name_hinder_nobody_who_has_it(shop: Tenant) -> None:
    made = await asyncio.to_thread(shop.sidegate.answer, "key", "create", shop.account, "--role", "viewer")
    key, path = Key.of(made), f"/v1/{shop.key.project_id}/quotas"
    async with plain(shop.sidegate) as http, signed(shop.sidegate, key) as owner:
        seen = (await http.post("/v3/auth/tokens", json=password(shop.key))).headers["X-Subject-Token"]
        for _ in range(BURST + 5):
            assert refused(await http.get(path, headers={"X-Auth-Token": forged(key, seen)}))
        assert (await owner.get(path)).status_code == 200
        assert (await owner.get(f"/v1/{shop.key.project_id}/vpc-endpoints")).status_code == 200


def password(key: Key, secret: str = "", **scope: Any) -> dict[str, Any]:
    user = {"name": key.access, "password": secret or key.secret, "domain": {"name": key.account}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}


async def test_the_mini_iam_gives_projects_domains_and_tokens(shop: Tenant, pay: Tenant) -> None:
    key = shop.key
    async with plain(shop.sidegate) as http:
        answer = await http.post("/v3/auth/tokens", json=password(key, project={"name": "local"}))
        assert answer.status_code == 201
        token, about = answer.headers["X-Subject-Token"], answer.json()["token"]
        assert about["project"] == {
            "id": key.project_id,
            "name": "local",
            "domain": {"id": key.account, "name": key.account},
        }
        assert about["catalog"][0]["endpoints"][0]["url"].endswith(f"/v1/{key.project_id}")
        bearing = {"X-Auth-Token": token}
        quotas = await http.get(f"/v1/{key.project_id}/quotas", headers=bearing)
        assert quotas.status_code == 200
        assert (await http.get(f"/v1/{pay.key.project_id}/quotas", headers=bearing)).status_code == 403
        domains = await http.get("/v3/auth/domains", headers=bearing)
        assert domains.json()["domains"] == [{"id": key.account, "name": key.account, "enabled": True}]
        assert (await http.get("/v3/projects?name=elsewhere", headers=bearing)).json() == {"projects": []}
        ak_sk = {"methods": ["hw_ak_sk"], "hw_ak_sk": {"access": {"key": key.access}, "secret": {"key": key.secret}}}
        assert (await http.post("/v3/auth/tokens", json={"auth": {"identity": ak_sk}})).status_code == 201
        for wrong in (
            password(key, "wrong"),
            password(key, project={"id": pay.key.project_id}),
            password(key, domain={"name": pay.account}),
            {"auth": {"identity": {"methods": ["totp"]}}},
        ):
            assert refused(await http.post("/v3/auth/tokens", json=wrong))


async def test_versions_are_told_to_everybody_and_unknown_paths_to_nobody(sidegate: Standalone) -> None:
    async with plain(sidegate) as http:
        assert (await http.get("/")).json()["versions"][0]["id"] == "v1"
        assert (await http.get("/v1/")).json()["version"]["links"][0]["href"] == f"{sidegate.https}/v1"
        nothing = await http.get("/v9/nothing")
        assert (nothing.status_code, nothing.json()["error_code"]) == (404, "APIGW.0101")
        assert (await http.request("PATCH", "/v1")).status_code == 405
