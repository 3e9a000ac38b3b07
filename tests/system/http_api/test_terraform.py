"""Terraform's provider, call by call: its Go client, its strict types, its waiters, its plans that must be empty."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.golang import Go, Shape, Unexpected, decoded
from tests.support.tenants import Tenant
from tests.support.terraform import plan
from tests.support.terraform_vpcep import ENDPOINTS, SERVICES, Approval, Endpoint, Service, pages

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

SERVICE: Shape = {
    **dict.fromkeys(("id", "port_id", "vip_port_id", "service_name", "server_type", "vpc_id", "pool_id"), str),
    **dict.fromkeys(("status", "service_type", "created_at", "updated_at", "project_id", "domain_id", "ip"), str),
    **dict.fromkeys(("tcp_proxy", "description", "ip_version", "cidr_type", "snat_network_id"), str),
    **dict.fromkeys(("public_border_group",), str),
    **dict.fromkeys(("approval_enabled", "enable_policy"), bool),
    **dict.fromkeys(("ports", "tags", "error", "supported_editions"), list),
}
ENDPOINT: Shape = {
    **dict.fromkeys(("id", "service_type", "status", "ip", "ipv6_address", "endpoint_service_name", "vpc_id"), str),
    **dict.fromkeys(("endpoint_service_id", "subnet_id", "created_at", "updated_at", "project_id"), str),
    **dict.fromkeys(("specification_name", "description", "enable_status", "endpoint_pool_id", "ip_version"), str),
    **dict.fromkeys(("enable_dns", "enable_whitelist"), bool),
    **dict.fromkeys(("active_status", "dns_names", "tags", "whitelist", "routetables", "policy_statement"), list),
    "error": list,
    "policy_document": dict,
    "marker_id": int,
}
CONNECTION: Shape = {
    **dict.fromkeys(("id", "created_at", "updated_at", "domain_id", "status", "description"), str),
    "marker_id": int,
    "error": list,
}
PERMISSION: Shape = dict.fromkeys(("id", "permission", "permission_type", "description", "created_at"), str)
PORT: Shape = {"client_port": int, "server_port": int, "protocol": str}
TAG: Shape = {"key": str, "value": str}


def strictly(found: Any, shape: Shape, *, lists: dict[str, Shape] | None = None) -> None:
    """Every field that Go knows is there, is of its type, and no list is null."""
    assert set(shape) - set(found) == set(), "a field that is not there is a zero, and plans a change"
    decoded(found, shape)
    assert [name for name, kind in shape.items() if kind is list and found[name] is None] == []
    for name, of in (lists or {}).items():
        for each in found[name]:
            strictly(each, of)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def provider(pay: Tenant) -> AsyncIterator[Go]:
    async with Go(pay.sidegate, pay.key) as go:
        yield go


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def consumer(shop: Tenant) -> AsyncIterator[Go]:
    async with Go(shop.sidegate, shop.key) as go:
        yield go


def published(pay: Tenant, shop: Tenant, **more: Any) -> dict[str, Any]:
    return {
        "name": "tf",
        "vpc_id": pay.vpc,
        "port_id": pay.ports[0],
        "server_type": "VM",
        "approval": True,
        "port_mapping": [
            {"service_port": 8443, "terminal_port": 443},
            {"service_port": 8080, "terminal_port": 80},
            {"service_port": 8022, "terminal_port": 22},
        ],
        "permissions": [f"iam:domain::{shop.account}"],
        **more,
    }


async def test_a_configuration_with_an_approval_is_applied_planned_changed_and_destroyed(
    shop: Tenant, pay: Tenant, provider: Go, consumer: Go
) -> None:
    wanted = published(pay, shop)
    service = await Service().create(provider, wanted)
    assert plan(wanted, await Service().read(provider, service)) == {}
    asked = {"service_id": service, "vpc_id": shop.vpc, "network_id": shop.subnet, "ip_address": "10.0.0.200"}
    endpoint = await Endpoint().create(consumer, asked)
    assert (await Endpoint().read(consumer, endpoint) or {})["status"] == "pendingAcceptance"
    approval = {"service_id": service, "endpoints": [endpoint]}
    await Approval().create(provider, approval)
    assert plan(asked, await Endpoint().read(consumer, endpoint)) == {}
    assert plan(approval, await Approval().read(provider, service)) == {}
    await Approval().create(provider, approval)  # as for a service without approval: again is no error

    await Approval().update(provider, service, approval, {"service_id": service, "endpoints": []})
    assert (await Endpoint().read(consumer, endpoint) or {})["status"] == "rejected"
    await Approval().update(provider, service, {"endpoints": []}, approval)
    described = {**wanted, "description": "", "approval": False}
    await Service().update(provider, service, wanted, described)
    assert plan(described, await Service().read(provider, service)) == {}
    state = await Endpoint().read(consumer, endpoint)
    assert state is not None
    await Endpoint().update(consumer, endpoint, asked, {**asked, "whitelist": ["10.0.0.9"], "enable_whitelist": True})
    assert plan({"whitelist": ["10.0.0.9"]}, await Endpoint().read(consumer, endpoint)) == {}

    await Approval().delete(provider, service, {"endpoints": [endpoint]})
    await Endpoint().delete(consumer, endpoint, state)
    await Service().delete(provider, service, {})
    assert await Endpoint().read(consumer, endpoint) is None
    assert await Service().read(provider, service) is None


async def test_every_answer_is_of_the_types_that_go_wants(
    shop: Tenant, pay: Tenant, provider: Go, consumer: Go
) -> None:
    tags = [{"key": "a", "value": "b"}]
    said = {
        "vpc_id": pay.vpc,
        "port_id": pay.ports[1],
        "server_type": "LB",
        "service_type": "interface",
        "approval_enabled": "true",
        "ports": [{"client_port": 1, "server_port": 2}],
        "tags": tags,
        "enable_policy": "true",
        "a_key_of_a_later_version": {"is": ["ignored"]},
    }
    made = await provider.ask("POST", SERVICES, said)
    path = f"{SERVICES}/{made['id']}"
    lists = {"ports": PORT, "tags": TAG}
    strictly(made, SERVICE, lists=lists)
    assert (made["approval_enabled"], made["enable_policy"]) == (True, True)
    strictly(await provider.ask("GET", path), SERVICE, lists=lists)
    strictly(await provider.ask("PUT", path, {"service_name": "", "description": "x"}), SERVICE, lists=lists)
    listed = await provider.ask("GET", f"{SERVICES}?endpoint_service_name={made['id'][:13].upper()}")
    strictly(listed["endpoint_services"][0], {**SERVICE, "connection_count": int}, lists=lists)
    assert type(listed["total_count"]) is int

    permission = f"iam:domain::{shop.account}"
    answer = await provider.ask("POST", f"{path}/permissions/action", {"permissions": [permission], "action": "add"})
    assert answer == {"permissions": [permission], "permission_type": "domainId"}
    strictly((await provider.ask("GET", f"{path}/permissions"))["permissions"][0], PERMISSION)

    policy = {"Version": "5.0", "Statement": []}
    wanted = {
        "endpoint_service_id": made["id"],
        "vpc_id": shop.vpc,
        "subnet_id": shop.subnet,
        "enable_dns": "false",
        "tags": tags,
        "policy_document": policy,
    }
    endpoint = await consumer.ask("POST", ENDPOINTS, wanted)
    strictly(endpoint, ENDPOINT, lists={"tags": TAG})
    assert endpoint["enable_dns"] is False
    assert endpoint["policy_document"] == policy
    where = f"{ENDPOINTS}/{endpoint['id']}"
    strictly(await consumer.ask("GET", where), ENDPOINT, lists={"tags": TAG})
    strictly((await consumer.ask("GET", f"{ENDPOINTS}?id={endpoint['id']}"))["endpoints"][0], ENDPOINT)
    strictly(await consumer.ask("PUT", where, {"whitelist": []}), ENDPOINT)
    [row] = (await provider.ask("GET", f"{path}/connections?id={endpoint['id']}"))["connections"]
    strictly(row, CONNECTION)
    decision = {"action": "reject", "endpoints": [endpoint["id"]]}
    [row] = (await provider.ask("POST", f"{path}/connections/action", decision))["connections"]
    strictly(row, CONNECTION)
    assert row["status"] == "rejected"

    quotas = (await provider.ask("GET", "/v1/{project_id}/quotas"))["quotas"]["resources"]
    for quota in quotas:
        strictly(quota, {"type": str, "used": int, "quota": int})
    search = {"action": "filter", "limit": "10", "offset": 0, "tags": [{"key": "a", "values": ["b"]}]}
    found = await consumer.ask("POST", "/v1/{project_id}/endpoint/resource_instances/action", search)
    strictly(found["resources"][0], {"resource_id": str, "resource_name": str, "tags": list}, lists={"tags": TAG})
    count = {"action": "count", "without_any_tag": False}
    assert await consumer.ask("POST", "/v1/{project_id}/endpoint/resource_instances/action", count) == {
        "total_count": found["total_count"]
    }
    tags_of = "/v1/{project_id}/endpoint/" + endpoint["id"] + "/tags/action"
    await consumer.ask("POST", tags_of, {"action": "delete", "tags": tags}, ok={204})
    await consumer.ask("POST", tags_of, {"action": "create", "tags": [{"key": "c", "value": "d"}]}, ok={204})
    assert (await consumer.ask("GET", where))["tags"] == [{"key": "c", "value": "d"}]
    second = "/v2/{project_id}/vpc-endpoint-services/" + made["id"]
    await provider.ask("POST", f"{second}/upgrade", ok={204})
    servers = {"server_resources": [{"resource_id": pay.ports[0], "availability_zone_id": "az1"}]}
    await provider.ask("POST", f"{second}/add-server-resources", servers, ok={204})
    upgrade = "/v2/{project_id}/vpc-endpoints/" + endpoint["id"] + "/upgrade"
    await consumer.ask("POST", upgrade, {"action": "start"}, ok={200})
    await Endpoint().delete(consumer, endpoint["id"], {})
    await Service().delete(provider, made["id"], {})


async def test_pages_are_read_until_one_is_empty(pay: Tenant, shop: Tenant, provider: Go) -> None:
    made = set()
    for place in range(12):
        mapping = [{"service_port": 2000 + place, "terminal_port": 1}]
        made.add(await Service().create(provider, published(pay, shop, name=f"p{place}", port_mapping=mapping)))
    seen = [each["id"] async for each in pages(provider, SERVICES, "endpoint_services")]
    assert made <= set(seen)
    assert len(seen) == len(set(seen))
    oldest = (await provider.ask("GET", f"{SERVICES}?sort_key=create_at&sort_dir=asc&limit=1000"))["endpoint_services"]
    assert [each["id"] for each in oldest] == seen[::-1]
    for each in made:
        await Service().delete(provider, each, {})


async def test_an_error_is_read_by_either_client(provider: Go) -> None:
    with pytest.raises(Unexpected) as refused:
        await provider.ask("POST", SERVICES, {"ports": "none"})
    assert refused.value.status == 400
    assert '"error_code":"EndPoint.' in str(refused.value)
    assert '"error_msg":"' in str(refused.value)
    assert await provider.status("/v1/{project_id}/nothing") == 404
    assert await provider.status("/v1/{project_id}/vpc-endpoints/") == 200, "a slash at the end means nothing"
