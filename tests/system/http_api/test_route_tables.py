"""Route tables of the VPC side of the HTTPS API, by the official SDK."""

from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkvpc import v2 as sdk

from tests.support.tenants import Tenant, refusal

pytestmark = pytest.mark.root


def vpc_client(tenant: Tenant) -> Any:
    config = HttpConfig.get_default_config()
    config.ssl_ca_cert = tenant.sidegate.ready["ca"]
    credentials = BasicCredentials(tenant.key.access, tenant.key.secret, tenant.key.project_id)
    built = sdk.VpcClient.new_builder().with_http_config(config).with_credentials(credentials)
    return built.with_endpoint(tenant.sidegate.https).build()


async def test_route_tables_live_by_the_sdk_with_their_subnets(shop: Tenant) -> None:
    client = vpc_client(shop)
    (default,) = client.list_route_tables(sdk.ListRouteTablesRequest(vpc_id=shop.vpc)).routetables
    assert (default.name, default.default, [each.id for each in default.subnets]) == ("default", True, [shop.subnet])

    wanted = sdk.CreateRouteTableReq(name="private", vpc_id=shop.vpc, description="for machines")
    body = sdk.CreateRoutetableReqBody(routetable=wanted)
    made = client.create_route_table(sdk.CreateRouteTableRequest(body=body)).routetable
    assert (made.vpc_id, made.default, made.routes, made.subnets) == (shop.vpc, False, [], [])
    assert made.tenant_id == shop.key.project_id

    def moved(ask: Any, request: Any, **subnets: list[str]) -> list[str]:
        both = sdk.AssociateRouteTableAndSubnetReq(**subnets)
        said = sdk.RoutetableAssociateReqbody(routetable=sdk.AsscoiateReq(subnets=both))
        return [each.id for each in ask(request(routetable_id=made.id, body=said)).routetable.subnets]

    assert moved(client.associate_route_table, sdk.AssociateRouteTableRequest, associate=[shop.subnet]) == [shop.subnet]
    listed = client.list_route_tables(sdk.ListRouteTablesRequest(subnet_id=shop.subnet)).routetables
    assert [each.id for each in listed] == [made.id]
    out = moved(client.disassociate_route_table, sdk.DisassociateRouteTableRequest, disassociate=[shop.subnet])
    assert out == []

    renamed = sdk.UpdateRoutetableReqBody(routetable=sdk.UpdateRouteTableReq(name="storage", description=""))
    changed = client.update_route_table(sdk.UpdateRouteTableRequest(routetable_id=made.id, body=renamed)).routetable
    assert (changed.name, changed.description) == ("storage", "")
    shown = client.show_route_table(sdk.ShowRouteTableRequest(routetable_id=made.id)).routetable
    assert (shown.id, shown.name) == (made.id, "storage")
    client.delete_route_table(sdk.DeleteRouteTableRequest(routetable_id=made.id))
    gone = refusal(lambda: client.show_route_table(sdk.ShowRouteTableRequest(routetable_id=made.id)))
    assert gone == (404, "VPC.2701")
    undeletable = refusal(lambda: client.delete_route_table(sdk.DeleteRouteTableRequest(routetable_id=default.id)))
    assert undeletable[0] == 400
    route = sdk.RouteTableRoute(type="ecs", destination="10.9.0.0/24", nexthop="x")
    routed = sdk.CreateRoutetableReqBody(routetable=sdk.CreateRouteTableReq(name="r", vpc_id=shop.vpc, routes=[route]))
    assert refusal(lambda: client.create_route_table(sdk.CreateRouteTableRequest(body=routed))) == (400, "VPC.0101")
