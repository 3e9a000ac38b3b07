"""What is Sidegate's own over HTTPS: the event stream, the past, many decisions at once, tests, headers, limits."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.http_api.auth.signature import DATE_FORM
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, HealthCheck, SessionSettings
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from tests.support.signed import Key, authorization, signed, trust
from tests.support.standalone import Standalone
from tests.support.world import tcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE = 60.0
SETTINGS = {"SIDEGATE_RATE_PER_KEY": "25", "SIDEGATE_STREAMS_PER_PROJECT": "3", "SIDEGATE_TESTS_PER_MINUTE": "2"}


@dataclass
class Scene:
    """Two accounts: payments publishes, shop consumes."""

    sidegate: Standalone
    payments: Key
    shop: Key

    def http(self, key: Key) -> httpx.AsyncClient:
        return signed(self.sidegate, key)

    def own(self, key: Key, path: str) -> str:
        return f"/sidegate/v1/{key.project_id}/{path}"

    async def service(self, name: str) -> EndpointService:
        """A service of payments that shop may connect to, once it is approved."""
        async with self.sidegate.client("payments") as client:
            vpc = await anext(client.vpcs.list())
            service = await client.services.create(
                name, vpc.id, [Backend(address="10.0.0.9")], [tcp(80, 80)], approval_required=True
            )
            return await client.services.permit(service.id, ["iam:domain::shop"])

    async def endpoint(self, service: EndpointService) -> str:
        async with self.sidegate.client("shop") as client:
            subnet = await anext(client.subnets.list())
            return (await client.endpoints.create(service.full_name, subnet.id)).id

    @asynccontextmanager
    async def socket(self, key: Key, path: str) -> AsyncIterator[ClientConnection]:
        url = self.sidegate.https + self.own(key, path)
        request = httpx.Request("GET", url)
        request.headers["X-Sdk-Date"] = datetime.now(UTC).strftime(DATE_FORM)
        request.headers["Authorization"] = authorization(key, request)
        headers = {name: request.headers[name] for name in ("X-Sdk-Date", "Authorization")}
        secured = url.replace("https:", "wss:")
        async with connect(
            secured, ssl=trust(self.sidegate), additional_headers=headers, user_agent_header=None, proxy=None
        ) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    os.environ.update(SETTINGS)
    try:
        async with Standalone(tmp_path_factory.mktemp("own"), rootless=True, http=True) as sidegate:
            async with sidegate.client("operator") as operator:
                keys = []
                for name in ("payments", "shop"):
                    made = await operator.accounts.create(name)
                    keys.append(Key(made.key.key.id, made.key.secret_key, name))
                    async with sidegate.client(name) as client:
                        vpc = await client.vpcs.create("main", ["10.0.0.0/24"])
                        await client.subnets.create("front", vpc.id, "10.0.0.0/24")
                    await operator.attachments.create(vpc.id, NetnsTarget(namespace=name))
            yield Scene(sidegate, *keys)
    finally:
        for name in SETTINGS:
            del os.environ[name]


class Stream:
    """Server-sent events, parsed."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> Mapping[str, Any]:
        """The next event, with its `id`."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE):
            async for line in self._lines:
                if not line and "data" in fields:
                    told = json.loads(fields["data"])
                    assert told["id"] == fields.get("id", "")
                    assert told["event"] == fields["event"]
                    return dict(told)
                name, _, value = line.partition(": ")
                fields[name] = value
        raise AssertionError("the stream ended")

    async def until(self, what: str) -> Mapping[str, Any]:
        """The event of a change."""
        while True:
            told = await self.next()
            if any(change["what"] == what for change in told["changes"]):
                return told


@asynccontextmanager
async def stream(http: httpx.AsyncClient, path: str, **headers: str) -> AsyncIterator[Stream]:
    async with http.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


async def test_the_stream_tells_both_logs_in_order_and_goes_on_where_it_was_left(scene: Scene) -> None:
    path = scene.own(scene.payments, "events?kinds=service,connection")
    async with scene.http(scene.payments) as http:
        async with stream(http, path) as events:
            assert (await events.next())["event"] == "bookmark"
            service = await scene.service("streamed")
            created = await events.until("created")
            assert created["changes"][0]["resource"]["id"] == service.id
            assert created["changes"][0]["kind"] == "service"
        endpoint = await scene.endpoint(service)
        async with stream(http, path, **{"Last-Event-ID": created["id"]}) as events:
            said = []
            while "requested" not in said or "permissions_added" not in said:
                said += [change["what"] for change in (await events.next())["changes"]]
            assert sorted(said) == ["permissions_added", "requested"]
        async with stream(http, f"{path}&from=0") as events:
            while True:
                told = await events.until("requested")
                if told["changes"][0]["resource"]["endpoint_id"] == endpoint:
                    break


async def test_a_socket_tells_the_same_and_ends_when_the_key_is_revoked(scene: Scene) -> None:
    async with scene.sidegate.client("operator") as operator:
        made = await operator.accounts.create_key("shop", "default", ROLE_ADMIN)
        key = Key(made.key.id, made.secret_key, "shop")
    async with scene.socket(key, "events/socket?kinds=vpc") as socket:
        assert json.loads(await socket.recv())["event"] == "bookmark"
        async with scene.sidegate.client("shop") as client:
            seen = await client.vpcs.create("seen", ["10.9.0.0/24"])
        async with asyncio.timeout(DEADLINE):
            while not (told := json.loads(await socket.recv()))["changes"]:
                pass
            assert told["changes"][0]["resource"]["id"] == seen.id
            async with scene.sidegate.client("operator") as operator:
                await operator.accounts.revoke_key(key.access)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    told = json.loads(await socket.recv())
        assert told["event"] == "error"
        assert told["error_code"] == "EndPoint.0003"
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_who_proves_nothing_and_who_asks_for_anothers_project_gets_no_socket(scene: Scene) -> None:
    url = (scene.sidegate.https + scene.own(scene.shop, "events/socket")).replace("https:", "wss:")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, ssl=trust(scene.sidegate), proxy=None):
            pass
    assert refused.value.response.status_code == 401
    foreign = Key(scene.shop.access, scene.shop.secret, "payments")
    with pytest.raises(InvalidStatus) as refused:
        async with scene.socket(foreign, "events/socket"):
            pass
    assert refused.value.response.status_code == 403


async def test_a_place_that_is_none_or_of_another_log_is_refused_before_the_stream_begins(scene: Scene) -> None:
    async with scene.http(scene.shop) as http:
        for begin in ("x", f"r1@{uuid4()}.1", f"e1@{uuid4()}.1,r1@{uuid4()}.1,c1@{uuid4()}.1"):
            answer = await http.get(scene.own(scene.shop, "events"), params={"from": begin, "kinds": "vpc"})
            assert answer.status_code in (400, 409), answer.text
            assert answer.json()["error_code"].startswith("EndPoint.")
        assert (await http.get(scene.own(scene.shop, "events"), params={"kinds": "moon"})).status_code == 400


async def test_a_project_has_so_many_streams_and_another_is_not_hindered(scene: Scene) -> None:
    path = scene.own(scene.shop, "events?kinds=vpc")
    async with scene.http(scene.shop) as http, stream(http, path), stream(http, path), stream(http, path):
        refused = await http.get(path)
        assert (refused.status_code, refused.json()["error_code"]) == (429, "EndPoint.0022")
        async with scene.http(scene.payments) as other, stream(other, scene.own(scene.payments, "events")) as events:
            assert (await events.next())["event"] == "bookmark"
    async with scene.http(scene.shop) as http, asyncio.timeout(DEADLINE):
        while True:
            async with http.stream("GET", path) as again:
                if again.status_code == 200:
                    break


async def test_the_past_of_a_resource_is_shown_at_any_position_and_compared(scene: Scene) -> None:
    service = await scene.service("past")
    async with scene.http(scene.payments) as http:
        listed = (
            await http.get(scene.own(scene.payments, "history"), params={"kind": "service", "id": service.id})
        ).json()
        assert [change["what"] for change in listed["changes"]] == ["created", "opened", "permissions_added"]
        assert listed["complete"]
        first = listed["changes"][0]
        path = scene.own(scene.payments, f"states/service/{service.id}")
        then = (await http.get(path, params={"position": first["position"]})).json()
        assert then["resource"] == first["resource"]
        at_the_time = (await http.get(path, params={"time": first["time"]})).json()
        assert at_the_time["position"] >= first["position"]
        differences = (await http.get(f"{path}/diff", params={"from_position": first["position"]})).json()
        assert {"state", "permissions"} <= {each["field"] for each in differences["differences"]}
        assert (await http.get(path, params={"position": first["position"] - 1})).status_code == 404
        page = (await http.get(scene.own(scene.payments, "history"), params={"kind": "service", "limit": 1})).json()
        assert not page["complete"]
    async with scene.http(scene.shop) as http:
        foreign = await http.get(scene.own(scene.shop, f"states/service/{service.id}"))
        assert foreign.status_code == 404


async def test_what_a_service_asks_of_gateways_is_in_its_past_and_in_no_body_of_the_others_api(scene: Scene) -> None:
    service = await scene.service("asking")
    theirs = f"/v1/{scene.payments.project_id}/vpc-endpoint-services/{service.id}"
    async with scene.http(scene.payments) as http, scene.sidegate.client("payments") as client:
        before = (await http.get(theirs)).json()
        await client.services.update(
            service.id,
            session_settings=SessionSettings(udp_one_way_seconds=15),
            health_check=HealthCheck(port=22, interval_seconds=9),
        )
        path = scene.own(scene.payments, f"states/service/{service.id}")
        resource = (await http.get(path)).json()["resource"]
        assert (
            resource["session_settings"] | {"udp_one_way_seconds": 15, "udp_two_way_seconds": 120}
            == (resource["session_settings"])
        )
        assert (resource["health_check"]["protocol"], resource["health_check"]["interval_seconds"]) == ("tcp", 9)
        listed = (
            await http.get(scene.own(scene.payments, "history"), params={"kind": "service", "id": service.id})
        ).json()["changes"]
        assert [change["resource"]["health_check"] is None for change in listed] == [True, True, True, False]
        found = (await http.get(f"{path}/diff", params={"from_position": listed[0]["position"]})).json()
        assert {each["field"].partition(".")[0] for each in found["differences"]} >= {
            "session_settings",
            "health_check",
        }
        after = (await http.get(theirs)).json()
        assert {**after, "updated_at": before["updated_at"]} == before
        udp = {"ports": [{"client_port": 53, "server_port": 53, "protocol": "UDP"}]}
        assert (await http.put(theirs, json=udp)).status_code == 200, "the check names its port"
        assert (await client.services.get(service.id)).health_check.port == 22


async def test_many_connections_are_decided_at_once_each_with_its_own_result(scene: Scene) -> None:
    service = await scene.service("many")
    endpoints = [await scene.endpoint(service) for _ in range(2)]
    missing = str(uuid4())
    path = scene.own(scene.payments, f"services/{service.id}/connections/decide")
    body = {"endpoint_ids": [*endpoints, missing], "decision": "accept"}
    async with scene.http(scene.payments) as http:
        only = await http.post(path, json=body, headers={"X-Validate-Only": "true"})
        assert [bool(each["connection"]) for each in only.json()["results"]] == [True, True, False]
        once = await http.post(path, json=body, headers={"X-Idempotency-Key": "decide-1"})
        again = await http.post(path, json=body, headers={"X-Idempotency-Key": "decide-1"})
        assert once.json() == again.json()
        assert [(each["connection"] or {}).get("state") for each in once.json()["results"]] == [
            "creating",
            "creating",
            None,
        ]
        bad = await http.post(path, json={"endpoint_ids": [], "decision": "accept"})
        assert bad.status_code == 400


async def test_an_endpoint_is_tried_out_for_its_owner_and_for_the_services(scene: Scene) -> None:
    service = await scene.service("tried")
    endpoint = await scene.endpoint(service)
    async with scene.http(scene.shop) as http, scene.http(scene.payments) as other:
        mine = await http.post(scene.own(scene.shop, f"endpoints/{endpoint}/test"))
        assert mine.json()["steps"][0] == {
            "subject": "state",
            "outcome": "failed",
            "message": "the service's owner has yet to accept it",
        }
        theirs = await other.post(scene.own(scene.payments, f"services/{service.id}/connections/{endpoint}/test"))
        assert theirs.json()["reachable"] is False
        assert (await other.post(scene.own(scene.payments, f"endpoints/{endpoint}/test"))).status_code == 404
        await other.post(
            scene.own(scene.payments, f"services/{service.id}/connections/decide"),
            json={"endpoint_ids": [endpoint], "decision": "accept"},
        )
        answers = [await http.post(scene.own(scene.shop, f"endpoints/{endpoint}/test")) for _ in range(3)]
        assert answers[0].json()["steps"][2]["message"] == "no gateway is there to carry it"
        assert (answers[2].status_code, answers[2].headers["Retry-After"]) == (429, "1")


async def test_the_health_of_a_service_that_no_gateway_asks_for_is_empty(scene: Scene) -> None:
    service = await scene.service("asked")
    async with scene.http(scene.payments) as http:
        found = await http.get(scene.own(scene.payments, f"services/{service.id}/health"))
        assert (found.status_code, found.json()) == (200, {"service_id": service.id, "gateways": []})
        assert (await http.get(scene.own(scene.payments, "services/web/health"))).status_code == 400


async def test_the_traffic_of_what_is_the_callers_is_read_and_of_anothers_nothing(scene: Scene) -> None:
    service = await scene.service("passing")
    endpoint = await scene.endpoint(service)
    async with scene.http(scene.shop) as http, scene.http(scene.payments) as other:
        mine = await http.get(scene.own(scene.shop, f"endpoints/{endpoint}/traffic"), params={"over": "3h"})
        assert (mine.status_code, mine.json()["endpoint_id"]) == (200, endpoint)
        assert (mine.json()["total"]["bytes_in"], mine.json()["series"]["step"]) == (0, "60s")
        theirs = await other.get(scene.own(scene.payments, f"services/{service.id}/traffic"))
        assert (theirs.json()["service_id"], theirs.json()["connections"]) == (service.id, [])
        one = {"endpoint_id": endpoint}
        connected = await other.get(scene.own(scene.payments, f"services/{service.id}/traffic"), params=one)
        assert [each["endpoint_id"] for each in connected.json()["connections"]] == [endpoint]
        assert (await other.get(scene.own(scene.payments, f"endpoints/{endpoint}/traffic"))).status_code == 404
        stranger = await http.get(scene.own(scene.shop, f"services/{service.id}/traffic"), params=one)
        assert stranger.status_code == 404
        bad = await http.get(scene.own(scene.shop, f"endpoints/{endpoint}/traffic"), params={"over": "1y"})
        assert bad.status_code == 400


async def test_the_logs_are_for_the_operator_and_a_project_reads_of_them_its_own_past_alone(scene: Scene) -> None:
    operator = Key.of(json.loads(Path(scene.sidegate.ready["credential"]).read_text()))
    async with scene.http(operator) as http, scene.http(scene.shop) as other:
        records = (await http.get("/sidegate/v1/audit/registry/records", params={"account": "shop"})).json()["records"]
        assert "CreateVpc" in {record["method"] for record in records}
        assert all(record["account"] == "shop" for record in records)
        owned = await http.get("/sidegate/v1/audit/registry/state", params={"account": "shop"})
        assert "vpc" in {each["kind"] for each in owned.json()["resources"]}
        assert (await http.get("/sidegate/v1/audit/endpoint/refusals")).status_code == 200
        theirs = await other.get("/sidegate/v1/audit/registry/state", params={"account": "shop"})
        assert theirs.json()["resources"] == owned.json()["resources"]
        refused = [
            await other.get(f"/sidegate/v1/audit/{path}")
            for path in ("registry/state?account=payments", "registry/state?account=nobody")
        ]
        assert [answer.status_code for answer in refused] == [404, 404]
        assert len({answer.json()["error_code"] for answer in refused}) == 1
        for path in ("registry/records", "registry/refusals", "registry/state?account=shop&project=another"):
            assert (await other.get(f"/sidegate/v1/audit/{path}")).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{"X-Validate-Only": "maybe"}, {"X-Idempotency-Key": "x" * 65}, {"If-Match": 'W/"1"'}],
    ids=lambda headers: next(iter(headers)),
)
async def test_a_header_of_ours_that_says_nothing_sensible_is_refused(scene: Scene, headers: dict[str, str]) -> None:
    path = scene.own(scene.payments, f"services/{uuid4()}/connections/decide")
    body = {"endpoint_ids": [str(uuid4())], "decision": "accept"}
    async with scene.http(scene.payments) as http:
        refused = await http.post(path, json=body, headers=headers)
        assert (refused.status_code, refused.json()["error_code"]) == (400, "EndPoint.0002")


async def test_who_floods_is_told_to_come_again_and_another_is_served_as_ever(scene: Scene) -> None:
    async with scene.http(scene.shop) as flooder, scene.http(scene.payments) as other:

        async def ask(http: httpx.AsyncClient) -> httpx.Response:
            return await http.get("/v3/projects")

        flood = [asyncio.create_task(ask(flooder)) for _ in range(150)]
        calm = [await ask(other) for _ in range(10)]
        answers = await asyncio.gather(*flood)
        assert {each.status_code for each in calm} == {200}
        refused = [each for each in answers if each.status_code != 200]
        assert refused
        assert {(each.status_code, each.json()["error_code"]) for each in refused} == {(429, "EndPoint.0022")}
        assert all(each.headers["Retry-After"] == "1" for each in refused)


async def test_writes_of_the_compatible_api_take_a_key_an_etag_and_can_be_only_validated(scene: Scene) -> None:
    async with scene.sidegate.client("payments") as client:
        subnet = await anext(client.subnets.list())
        port = await client.ports.create(subnet.id, "machine/headers", "")
    path = f"/v1/{scene.payments.project_id}/vpc-endpoint-services"
    body: dict[str, Any] = {"service_name": "headers", "vpc_id": subnet.vpc_id, "port_id": port.id, "server_type": "VM"}
    body |= {"ports": [{"client_port": 80, "server_port": 8080, "protocol": "TCP"}]}
    async with scene.http(scene.payments) as http:
        only = await http.post(path, json=body, headers={"X-Validate-Only": "true"})
        assert only.status_code == 200, only.text
        listed = (await http.get(path, params={"endpoint_service_name": "headers"})).json()
        assert listed["endpoint_services"] == []

        made = await http.post(path, json=body, headers={"X-Idempotency-Key": "made-once"})
        again = await http.post(path, json=body, headers={"X-Idempotency-Key": "made-once"})
        assert (made.status_code, again.status_code) == (200, 200), again.text + made.text
        assert made.json()["id"] == again.json()["id"]
        one = f"{path}/{made.json()['id']}"

        etag = (await http.get(one)).headers["ETag"]
        changed = await http.put(one, json={"description": "first"}, headers={"If-Match": etag})
        assert changed.status_code == 200, changed.text
        assert changed.headers["ETag"] != etag
        late = await http.put(one, json={"description": "second"}, headers={"If-Match": etag})
        assert (late.status_code, late.json()["error_code"][:9]) == (412, "EndPoint.")
        assert (await http.delete(one, headers={"If-Match": etag})).status_code == 412
        assert (await http.delete(one, headers={"X-Validate-Only": "true"})).status_code == 204
        assert (await http.get(one)).status_code == 200
        assert (await http.delete(one, headers={"If-Match": changed.headers["ETag"]})).status_code == 204


async def test_a_header_of_ours_that_the_signature_leaves_out_is_refused(scene: Scene) -> None:
    """To overlook X-Validate-Only would do what was only to be checked."""
    url = f"{scene.sidegate.https}{scene.own(scene.payments, f'services/{uuid4()}/connections/decide')}"
    request = httpx.Request("POST", url, json={"endpoint_ids": [str(uuid4())], "decision": "accept"})
    request.headers["X-Sdk-Date"] = datetime.now(UTC).strftime(DATE_FORM)
    request.headers["Authorization"] = authorization(scene.payments, request)
    request.headers["X-Validate-Only"] = "true"
    async with httpx.AsyncClient(verify=trust(scene.sidegate)) as http:
        refused = await http.send(request)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "EndPoint.0002")


async def test_the_document_names_every_refusal_and_the_headers_that_writes_take(scene: Scene) -> None:
    async with scene.http(scene.shop) as http:
        document = (await http.get("/openapi.json")).json()
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 60
    for path, method, operation in operations:
        assert "422" not in operation["responses"], path
        assert {"400", "429", "500", "503"} <= operation["responses"].keys(), path
        if operation.get("security"):
            assert {"401", "403", "404"} <= operation["responses"].keys(), path
            taken = {parameter["name"] for parameter in operation.get("parameters", ())}
            assert ("X-Validate-Only" in taken) == (method != "get"), path
