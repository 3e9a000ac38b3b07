"""Gateway-type endpoints, driven by the official SDK: route tables, policies, and what of them cannot be."""

from typing import Any

import pytest
import pytest_asyncio
from huaweicloudsdkvpcep import v1 as sdk

from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from tests.support.standalone import Standalone
from tests.support.tenants import Tenant, refusal
from tests.support.world import tcp

pytestmark = pytest.mark.root

PREFIX = "100.110.0.0/16"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def storage(sidegate: Standalone) -> EndpointService:
    """The operator's service, whose VPC's namespace is yet to come."""
    async with sidegate.client("operator") as operator:
        vpc = await operator.vpcs.create("storage", ["10.0.0.0/24"])
        await operator.attachments.create(vpc.id, NetnsTarget(namespace="nowhere-storage"))
        return await operator.services.create(
            "storage",
            vpc.id,
            [Backend(address="10.0.0.10")],
            [tcp(443, 443)],
            service_type=EndpointService.SERVICE_TYPE_GATEWAY,
            server_type=EndpointService.SERVER_TYPE_CLOUD,
            public_prefixes=[PREFIX],
        )


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def tables(shop: Tenant) -> list[str]:
    """The shop's route tables: the default one, and two more."""
    async with shop.sidegate.client(shop.account) as client:
        for name in ("private", "other"):
            await client.route_tables.create(name, shop.vpc)
        return [table.id async for table in client.route_tables.list(shop.vpc)]


def connect(shop: Tenant, service: str, **what: Any) -> Any:
    return shop.connect(service, **{"subnet_id": None, **what})


async def test_an_endpoint_in_route_tables_lives_by_the_sdk(
    shop: Tenant, pay: Tenant, storage: EndpointService, tables: list[str]
) -> None:
    default, private, other = tables
    public = shop.client.list_service_public_details(sdk.ListServicePublicDetailsRequest(id=storage.id))
    assert [each.service_type for each in public.endpoint_services] == ["gateway"]
    described = shop.client.list_service_describe_details(sdk.ListServiceDescribeDetailsRequest(id=storage.id))
    assert described.service_type == "gateway"

    statement = sdk.PolicyStatement(effect="Allow", action=["*"], resource=["tcp/443"])
    made = connect(shop, storage.id, routetables=[private], policy_statement=[statement])
    assert (made.service_type, made.routetables, made.ip, made.subnet_id) == ("gateway", [private], "", "")
    assert [each.resource for each in made.policy_statement] == [["tcp/443"]]
    assert shop.endpoint(made.id).routetables == [private]
    assert refusal(lambda: connect(shop, storage.id, routetables=[private])) == (400, "EndPoint.2039")
    assert refusal(lambda: connect(shop, storage.id, routetables=[other])) == (400, "EndPoint.2031")

    def routes(*wanted: str) -> Any:
        body = sdk.UpdateEndpointRoutetableRequestBody(routetables=list(wanted))
        request = sdk.UpdateEndpointRoutetableRequest(vpc_endpoint_id=made.id, body=body)
        return shop.client.update_endpoint_routetable(request)

    assert (routes(default, other).routetables, routes(default, other).error) == ([default, other], [])
    strange = (shop.vpc, "nonsense")
    partly = routes(private, *strange)
    assert partly.routetables == [private]
    (failed,) = partly.error
    assert sorted(each.id for each in failed.bind_failed) == sorted(strange)
    assert failed.unbind_failed == []
    unchanged = routes(*strange)
    assert (unchanged.routetables, len(unchanged.error)) == ([private], 1)
    assert refusal(routes) == (400, "EndPoint.2040")

    def policy(*resource: str, action: str = "*") -> Any:
        said = sdk.PolicyStatement(effect="Deny", action=[action], resource=list(resource))
        body = sdk.UpdateEndpointPolicyRequestBody(policy_statement=[said])
        return shop.client.update_endpoint_policy(sdk.UpdateEndpointPolicyRequest(vpc_endpoint_id=made.id, body=body))

    assert policy("100.110.7.0/24").policy_statement[0].effect == "Deny"
    assert refusal(lambda: policy("*", action="obs:GetObject")) == (400, "EndPoint.2048")
    assert refusal(lambda: policy("100.111.0.0/24")) == (400, "EndPoint.2048")
    without = sdk.DeleteEndpointPolicyRequest(vpc_endpoint_id=made.id)
    assert shop.client.delete_endpoint_policy(without).policy_statement == []
    white = sdk.UpdateEndpointWhiteRequestBody(whitelist=["10.0.0.7"], enable_whitelist=True)
    request = sdk.UpdateEndpointWhiteRequest(vpc_endpoint_id=made.id, body=white)
    assert refusal(lambda: shop.client.update_endpoint_white(request)) == (400, "EndPoint.2044")
    shop.delete_endpoint(made.id)


async def test_that_dns_is_wanted_says_nothing_of_an_endpoint_that_has_no_address(
    shop: Tenant, storage: EndpointService
) -> None:
    made = connect(shop, storage.id, enable_dns=True)
    assert (made.enable_dns, shop.endpoint(made.id).enable_dns) == (False, False)
    shop.delete_endpoint(made.id)


async def test_what_of_it_cannot_be_has_a_code_of_its_own(
    shop: Tenant, pay: Tenant, storage: EndpointService, tables: list[str]
) -> None:
    assert refusal(lambda: connect(shop, storage.id, routetables=["nonsense"])) == (400, "EndPoint.1019")
    assert refusal(lambda: connect(shop, storage.id, routetables=[shop.vpc])) == (400, "EndPoint.1019")
    assert refusal(lambda: connect(pay, storage.id, routetables=[tables[0]])) == (400, "EndPoint.1019")
    assert refusal(lambda: connect(shop, storage.id, vpc_id=pay.vpc)) == (400, "EndPoint.2001")
    plain = pay.publish(ports=[{"client_port": 7, "server_port": 7}])
    pay.permit(plain.id, "*")
    assert refusal(lambda: connect(shop, plain.id)) == (400, "EndPoint.2010")
    assert refusal(lambda: shop.connect(plain.id, routetables=[tables[0]])) == (400, "EndPoint.2040")
    named = sdk.ListServiceDescribeDetailsRequest(endpoint_service_name=f"elsewhere.storage.{storage.id}")
    assert refusal(lambda: shop.client.list_service_describe_details(named)) == (400, "EndPoint.1003")
