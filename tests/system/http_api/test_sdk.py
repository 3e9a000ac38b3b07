"""The official SDK drives every operation, in the order of a life and out of it; TLS is verified."""

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkvpcep import v1 as sdk
from huaweicloudsdkvpcep.v1.region.vpcep_region import VpcepRegion

from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from tests.support.signed import Key
from tests.support.standalone import Standalone
from tests.support.tenants import Tenant, eventually, is_gone, refusal, sdk_client

pytestmark = pytest.mark.root

NOBODY = str(uuid.uuid4())


def connections(tenant: Tenant, service: str, **query: Any) -> Any:
    return tenant.client.list_service_connections(
        sdk.ListServiceConnectionsRequest(vpc_endpoint_service_id=service, **query)
    )


def permissions(tenant: Tenant, service: str, **query: Any) -> Any:
    request = sdk.ListServicePermissionsDetailsRequest(vpc_endpoint_service_id=service, **query)
    return tenant.client.list_service_permissions_details(request)


def test_a_service_lives_from_its_publication_to_its_end(pay: Tenant) -> None:
    ports = [
        {"client_port": 443, "server_port": 8443, "protocol": "TCP"},
        {"client_port": 80, "server_port": 8081, "protocol": "TCP"},
        {"client_port": 53, "server_port": 5353, "protocol": "UDP"},
    ]
    tags = [sdk.TagList(key="team", value="web")]
    made = pay.publish(service_name="web", ports=ports, tags=tags, description="the window", tcp_proxy="proxy_open")
    assert made.status in ("creating", "available")
    assert (made.port_id, made.vpc_id, made.server_type, made.service_type) == (
        *(pay.ports[0], pay.vpc, "VM", "interface"),
    )
    assert (made.approval_enabled, made.enable_policy, made.tcp_proxy) == (False, False, "proxy_open")
    assert [(p.client_port, p.server_port, p.protocol) for p in made.ports] == [
        (443, 8443, "TCP"), (80, 8081, "TCP"), (53, 5353, "UDP"),
    ]  # fmt: skip
    assert made.service_name == f"local.web.{made.id}"
    assert made.project_id == pay.key.project_id
    assert isinstance(made.created_at, datetime)
    assert made.created_at.tzinfo is not None
    assert abs((datetime.now(UTC) - made.created_at).total_seconds()) < 600

    found = pay.service(made.id)
    assert (found.status, found.description, found.error) == ("available", "the window", [])
    assert found.supported_editions == ["basic", "profession"]
    listed = pay.client.list_endpoint_service(sdk.ListEndpointServiceRequest(id=made.id))
    assert listed.total_count == 1
    assert (listed.endpoint_services[0].domain_id, listed.endpoint_services[0].connection_count) == (pay.account, 0)

    body = sdk.UpdateEndpointServiceRequestBody(
        approval_enabled=True, description="", port_id=pay.ports[1], ports=ports[:1], tcp_proxy="close"
    )
    changed = pay.client.update_endpoint_service(
        sdk.UpdateEndpointServiceRequest(vpc_endpoint_service_id=made.id, body=body)
    )
    assert (changed.approval_enabled, changed.description, changed.port_id) == (True, "", pay.ports[1])
    assert (len(changed.ports), changed.tcp_proxy, changed.service_name) == (1, "close", made.service_name)
    again = pay.client.update_endpoint_service(
        sdk.UpdateEndpointServiceRequest(
            vpc_endpoint_service_id=made.id,
            body=sdk.UpdateEndpointServiceRequestBody(service_name="web", description=""),
        )
    )
    assert again.updated_at == changed.updated_at, "saying the same again changes nothing"

    body = sdk.UpdateEndpointServiceNameRequestBody(endpoint_service_name="shop_window")
    renamed = pay.client.update_endpoint_service_name(
        sdk.UpdateEndpointServiceNameRequest(vpc_endpoint_service_id=made.id, body=body)
    )
    assert renamed.endpoint_service_name == f"local.shop_window.{made.id}"
    pay.delete_service(made.id)
    eventually(lambda: is_gone(lambda: pay.service(made.id)), "the service to be gone")
    assert refusal(lambda: pay.delete_service(made.id)) == (404, "EndPoint.0005")


def test_an_endpoint_lives_from_its_request_to_its_end(shop: Tenant, pay: Tenant) -> None:
    service = pay.publish(service_name="till", approval_enabled=True)
    pay.permit(service.id, f"iam:domain::{shop.account}")
    tags = [sdk.TagList(key="stage", value="live")]
    made = shop.connect(service.id, port_ip="10.0.0.99", enable_dns=True, tags=tags, description="ours")
    assert (made.status, made.service_type, made.active_status) == ("pendingAcceptance", "interface", ["active"])
    assert (made.endpoint_service_name, made.endpoint_service_id) == (service.service_name, service.id)
    assert (made.enable_dns, made.enable_whitelist, made.whitelist, made.enable_status) == (True, False, [], "enable")
    assert made.ip == "", "no address before it is accepted"
    assert 0 < made.marker_id < 2**53
    assert (made.vpc_id, made.subnet_id, made.project_id) == (shop.vpc, shop.subnet, shop.key.project_id)
    assert [(tag.key, tag.value) for tag in made.tags] == [("stage", "live")]

    [row] = connections(pay, service.id, id=made.id).connections
    assert (row.id, row.marker_id, row.domain_id, row.status) == (
        *(made.id, made.marker_id, shop.account, "pendingAcceptance"),
    )
    [decided] = pay.decide(service.id, made.id, "receive").connections
    assert decided.status in ("creating", "accepted")
    accepted = shop.becomes(made.id, "accepted")
    assert (accepted.ip, accepted.marker_id, accepted.error) == ("10.0.0.99", made.marker_id, [])
    assert (accepted.enable_dns, accepted.dns_names) == (True, [f"{made.id}.local.sidegate.internal"])
    assert pay.decide(service.id, made.id, "receive").connections[0].status == "accepted", "again is not an error"
    assert refusal(lambda: pay.delete_service(service.id)) == (400, "EndPoint.3006")
    listed = pay.client.list_endpoint_service(sdk.ListEndpointServiceRequest(id=service.id))
    assert listed.endpoint_services[0].connection_count == 1

    assert pay.decide(service.id, made.id, "reject").connections[0].status == "rejected", "at once"
    rejected = shop.endpoint(made.id)
    assert (rejected.status, rejected.marker_id) == ("rejected", made.marker_id)
    assert pay.decide(service.id, made.id, "reject").connections[0].status == "rejected"

    shop.delete_endpoint(made.id)
    with_status = is_gone(lambda: _not_deleting(shop, made.id))
    assert with_status in (None, True)
    eventually(lambda: is_gone(lambda: shop.endpoint(made.id)), "the endpoint to be gone")
    assert refusal(lambda: shop.delete_endpoint(made.id)) == (404, "EndPoint.2006")
    pay.delete_service(service.id)


def _not_deleting(tenant: Tenant, endpoint: str) -> None:
    assert tenant.endpoint(endpoint).status == "deleting", "visible at once, or gone"


def test_whitelists_policies_and_route_tables_are_changed(shop: Tenant, pay: Tenant) -> None:
    service = pay.publish(ports=[{"client_port": 9, "server_port": 9}])
    pay.permit(service.id, "*")
    made = shop.connect(service.id, whitelist=["10.0.0.7", "10.0.0.128/25"], enable_whitelist=True)
    assert (made.whitelist, made.enable_whitelist) == (["10.0.0.7", "10.0.0.128/25"], True)

    def white(**what: Any) -> Any:
        body = sdk.UpdateEndpointWhiteRequestBody(**what)
        return shop.client.update_endpoint_white(sdk.UpdateEndpointWhiteRequest(vpc_endpoint_id=made.id, body=body))

    assert white(whitelist=["10.0.0.8"], enable_whitelist=True).whitelist == ["10.0.0.8"]
    emptied = white(enable_whitelist=False)
    assert (emptied.whitelist, emptied.enable_whitelist) == ([], False)

    document = {
        "Version": "5.0",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": ["*"], "Resource": ["*"]}],
    }
    statement = sdk.PolicyStatement(effect="Allow", action=["obs:*:*"], resource=["obs:*:*:*:*/*"])

    def policy(**what: Any) -> Any:
        body = sdk.UpdateEndpointPolicyRequestBody(**what)
        return shop.client.update_endpoint_policy(sdk.UpdateEndpointPolicyRequest(vpc_endpoint_id=made.id, body=body))

    assert policy(policy_document=document).policy_document == document
    changed = policy(policy_statement=[statement])
    assert [(each.effect, each.action) for each in changed.policy_statement] == [("Allow", ["obs:*:*"])]
    without = sdk.DeleteEndpointPolicyRequest(vpc_endpoint_id=made.id)
    removed = shop.client.delete_endpoint_policy(without)
    assert (removed.id, removed.policy_statement, removed.policy_document) == (made.id, [], None)
    assert refusal(lambda: shop.client.delete_endpoint_policy(without)) == (400, "EndPoint.2049")

    def routes(*tables: str) -> Any:
        body = sdk.UpdateEndpointRoutetableRequestBody(routetables=list(tables))
        request = sdk.UpdateEndpointRoutetableRequest(vpc_endpoint_id=made.id, body=body)
        return shop.client.update_endpoint_routetable(request)

    assert routes().routetables == []
    assert refusal(lambda: routes(NOBODY)) == (400, "EndPoint.2040")
    request = sdk.UpgradeEndpointRequest(vpc_endpoint_id=made.id, body=sdk.UpgradeEndpointRequestBody(action="start"))
    assert shop.client.upgrade_endpoint(request).status_code == 200
    listed = shop.client.list_endpoints(
        sdk.ListEndpointsRequest(endpoint_service_name=service.service_name.upper(), vpc_id=shop.vpc)
    )
    assert [each.id for each in listed.endpoints] == [made.id]
    shop.delete_endpoint(made.id)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def six(shop: Tenant, pay: Tenant) -> tuple[Tenant, Tenant]:
    """The same accounts with a VPC of IPv6 each, whose namespaces are yet to come, and a machine in both."""
    tenants = []
    for tenant in (shop, pay):
        async with tenant.sidegate.client(tenant.account) as client, tenant.sidegate.client("operator") as operator:
            vpc = await client.vpcs.create("six", ["fd00:10::/48"])
            subnet = await client.subnets.create("main", vpc.id, "fd00:10::/64")
            port = await client.ports.create(subnet.id, "machine/m", "fd00:10::a")
            await operator.attachments.create(vpc.id, NetnsTarget(namespace=f"{tenant.namespace.name}-6"))
        tenants.append(replace(tenant, vpc=vpc.id, subnet=subnet.id, ports=(port.id,)))
    return tenants[0], tenants[1]


def test_ipv6_is_the_version_of_a_service_its_endpoints_and_their_whitelists(
    shop: Tenant, pay: Tenant, six: tuple[Tenant, Tenant]
) -> None:
    shop6, pay6 = six
    ports = [{"client_port": 7, "server_port": 7, "protocol": "TCP"}]
    assert refusal(lambda: pay.publish(ip_version="ipv6", ports=ports)) == (400, "EndPoint.0002"), "its port is of IPv4"
    four = pay.publish(ip_version="ipv4", ports=ports)
    assert four.ip_version == "ipv4"
    pay.delete_service(four.id)
    made = pay6.publish(service_name="six", ip_version="ipv6", approval_enabled=True)
    assert made.ip_version == "ipv6"
    pay6.permit(made.id, "*")
    wrong: list[tuple[Tenant, dict[str, Any], str]] = [
        (shop, {}, "EndPoint.0023"),
        (shop6, {"ip_version": "ipv4"}, "EndPoint.0023"),
        (shop6, {"ip_version": "dualstack"}, "EndPoint.0002"),
        (shop6, {"ipv6_address": "fd00:10:0:1::7"}, "EndPoint.2043"),
        (shop6, {"ipv6_address": "fd00:10::7", "port_ip": "10.0.0.7"}, "EndPoint.2041"),
        (shop6, {"whitelist": ["10.0.0.7"], "enable_whitelist": True}, "EndPoint.2044"),
    ]
    for tenant, said, code in wrong:
        assert refusal(partial(tenant.connect, made.id, **said)) == (400, code), said
    whitelist = ["fd00:10::7", "fd00:10::/80"]
    asked = {"ip_version": "ipv6", "ipv6_address": "FD00:10::00FF", "whitelist": whitelist, "enable_whitelist": True}
    endpoint = shop6.connect(made.id, **asked)
    assert (endpoint.status, endpoint.ip, endpoint.ipv6_address) == ("pendingAcceptance", "", "")
    assert (endpoint.whitelist, endpoint.enable_whitelist) == (whitelist, True)
    body = sdk.UpdateEndpointWhiteRequestBody(whitelist=["10.0.0.7"], enable_whitelist=True)
    request = sdk.UpdateEndpointWhiteRequest(vpc_endpoint_id=endpoint.id, body=body)
    assert refusal(lambda: shop6.client.update_endpoint_white(request)) == (400, "EndPoint.2044")
    pay6.decide(made.id, endpoint.id, "reject")
    assert (shop6.endpoint(endpoint.id).ip, shop6.endpoint(endpoint.id).ipv6_address) == ("", "fd00:10::ff")
    shop6.delete_endpoint(endpoint.id)


def test_permissions_are_added_described_listed_and_removed(shop: Tenant, pay: Tenant) -> None:
    service = pay.publish(ports=[{"client_port": 1, "server_port": 1}])
    added = pay.permit(service.id, f"iam:domain::{shop.account}", "iam:domain::0a1b2c")
    assert added.permissions == [f"iam:domain::{shop.account}", "iam:domain::0a1b2c"]
    assert added.permission_type == "domainId"
    pay.permit(service.id, "iam:domain::0a1b2c")  # again
    body = sdk.BatchAddEndpointServicePermissionsRequestBody(
        permissions=[sdk.EpsAddPermissionRequest(permission="organizations:orgPath::o-1/*", description="all")],
        permission_type="orgPath",
    )
    request = sdk.BatchAddEndpointServicePermissionsRequest(vpc_endpoint_service_id=service.id, body=body)
    [batch] = pay.client.batch_add_endpoint_service_permissions(request).permissions
    assert (batch.permission_type, batch.description) == ("orgPath", "all")
    pay.permit(service.id, "*")
    found = permissions(pay, service.id)
    assert found.total_count == 4
    assert {each.permission: each.permission_type for each in found.permissions} == {
        f"iam:domain::{shop.account}": "domainId",
        "iam:domain::0a1b2c": "domainId",
        "organizations:orgPath::o-1/*": "orgPath",
        "*": "domainId",
    }
    [one] = permissions(pay, service.id, permission="0A1B").permissions
    words = sdk.UpdateEndpointServicePermissionDescRequestBody(
        permission=sdk.EpsUpdatePermissionDesc(description="theirs")
    )
    described = pay.client.update_endpoint_service_permission_desc(
        sdk.UpdateEndpointServicePermissionDescRequest(
            vpc_endpoint_service_id=service.id, permission_id=one.id, body=words
        )
    )
    assert [(each.id, each.description) for each in described.permissions] == [(one.id, "theirs")]
    ids = [sdk.EpsRemovePermissionRequest(id=each.id) for each in found.permissions[:2]]
    removing = sdk.BatchRemoveEndpointServicePermissionsRequest(
        vpc_endpoint_service_id=service.id,
        body=sdk.BatchRemoveEndpointServicePermissionsRequestBody(permissions=ids),
    )
    assert len(pay.client.batch_remove_endpoint_service_permissions(removing).permissions) == 2
    body = sdk.AddOrRemoveServicePermissionsRequestBody(permissions=["iam:domain::never"], action="remove")
    pay.client.add_or_remove_service_permissions(
        sdk.AddOrRemoveServicePermissionsRequest(vpc_endpoint_service_id=service.id, body=body)
    )
    assert permissions(pay, service.id).total_count == 2
    pay.delete_service(service.id)


def test_connections_are_noted_and_filtered(shop: Tenant, pay: Tenant) -> None:
    service = pay.publish(approval_enabled=True, ports=[{"client_port": 2, "server_port": 2}])
    pay.permit(service.id, f"iam:domain::{shop.account}")
    first, second = shop.connect(service.id, description="a"), shop.connect(service.id, description="b")
    notes = [sdk.ConnectionsDesc(id=first.id, description="one"), sdk.ConnectionsDesc(id=second.id, description="two")]
    described = pay.client.update_endpoint_connections_desc(
        sdk.UpdateEndpointConnectionsDescRequest(
            vpc_endpoint_service_id=service.id,
            body=sdk.UpdateEndpointConnectionsDescRequestBody(connections=notes),
        )
    )
    assert [each.description for each in described.connections] == ["one", "two"]
    assert shop.endpoint(first.id).description == "a", "the consumer's own words are others"
    pay.decide(service.id, first.id, "reject")
    assert [each.id for each in connections(pay, service.id, status="rejected").connections] == [first.id]
    assert [each.id for each in connections(pay, service.id, marker_id=str(second.marker_id)).connections] == [
        second.id
    ]
    ordered = connections(pay, service.id, sort_key="create_at", sort_dir="asc").connections
    assert [each.id for each in ordered] == [first.id, second.id]
    latest = connections(pay, service.id, sort_key="update_at", sort_dir="desc", limit=1)
    assert (latest.total_count, latest.connections[0].id) == (2, first.id)
    beyond = connections(pay, service.id, offset=7)
    assert (beyond.connections, beyond.total_count) == ([], 2)
    other = pay.publish(ports=[{"client_port": 3, "server_port": 3}])
    assert refusal(lambda: pay.decide(other.id, second.id, "receive")) == (400, "EndPoint.2013")
    for endpoint in (first, second):
        shop.delete_endpoint(endpoint.id)


def test_tags_are_changed_listed_and_searched(shop: Tenant, pay: Tenant) -> None:
    service = pay.publish(ports=[{"client_port": 4, "server_port": 4}], tags=[sdk.TagList(key="a", value="1")])

    def act(action: str, *tags: sdk.ResourceTag) -> Any:
        return pay.client.batch_add_or_remove_resource_instance(
            sdk.BatchAddOrRemoveResourceInstanceRequest(
                resource_type="endpoint_service",
                resource_id=service.id,
                body=sdk.BatchAddOrRemoveResourceInstanceRequestBody(action=action, tags=list(tags)),
            )
        )

    assert act("create", sdk.ResourceTag(key="a", value="2"), sdk.ResourceTag(key="b", value="x")).status_code == 204
    assert {tag.key: tag.value for tag in pay.service(service.id).tags} == {"a": "2", "b": "x"}
    act("delete", sdk.ResourceTag(key="b", value="another"))
    assert len(pay.service(service.id).tags) == 2, "another value's is another tag"
    act("delete", sdk.ResourceTag(key="b"))
    project = pay.client.list_query_project_resource_tags(
        sdk.ListQueryProjectResourceTagsRequest(resource_type="endpoint_service")
    )
    assert [(tag.key, tag.values) for tag in project.tags] == [("a", ["2"])]

    def search(**what: Any) -> Any:
        body = sdk.QueryResourceInstanceTagsBody(**{"action": "filter", "limit": "10", "offset": "0", **what})
        return pay.client.list_resource_instances(
            sdk.ListResourceInstancesRequest(resource_type="endpoint_service", body=body)
        )

    [found] = search(tags=[sdk.TagValuesList(key="a", values=["2", "3"])]).resources
    assert (found.resource_id, found.resource_name) == (service.id, service.id)
    assert search(tags=[sdk.TagValuesList(key="a", values=["3"])]).total_count == 0
    assert search(action="count", not_tags=[sdk.TagValuesList(key="a", values=[])]).total_count >= 0
    assert search(matches=[sdk.Match(key="resource_name", value=service.id[:8].upper())]).total_count == 1
    pay.delete_service(service.id)


def test_the_platforms_services_are_everybodys(sidegate: Standalone, shop: Tenant, pay: Tenant) -> None:
    published = sidegate.answer(
        *("vpc", "create", f"cloud-{shop.account}", "--cidr", "10.1.0.0/24"),
    )
    made = sidegate.answer(
        *("service", "create", f"dns-{shop.account}", "--vpc", published["id"], "--backend", "10.1.0.9"),
        *("--port", "53:53/udp", "--servers", "cloud"),
    )
    found = shop.client.list_service_public_details(sdk.ListServicePublicDetailsRequest(endpoint_service_name="DNS-"))
    [service] = [each for each in found.endpoint_services if each.id == made["id"]]
    assert (service.owner, service.is_charge, service.service_type) == ("operator", False, "interface")
    described = shop.client.list_service_describe_details(
        sdk.ListServiceDescribeDetailsRequest(endpoint_service_name=service.service_name)
    )
    assert (described.id, described.is_charge) == (made["id"], False)
    own = pay.publish(ports=[{"client_port": 5, "server_port": 5}])
    by_id = pay.client.list_service_describe_details(sdk.ListServiceDescribeDetailsRequest(id=own.id))
    assert by_id.service_name == own.service_name == f"local.{own.id}"
    for query in (sdk.ListServiceDescribeDetailsRequest(id=own.id), sdk.ListServiceDescribeDetailsRequest(id=NOBODY)):
        hidden = refusal(lambda query=query: shop.client.list_service_describe_details(query))  # type: ignore[misc] # untyped SDK
        assert hidden == (404, "EndPoint.0005"), "another's looks like one that is not there"
    assert refusal(
        lambda: shop.client.list_service_describe_details(
            sdk.ListServiceDescribeDetailsRequest(id=own.id, endpoint_service_name="x")
        )
    ) == (400, "EndPoint.0002")


def test_quotas_versions_and_version_2_answer(shop: Tenant, pay: Tenant) -> None:
    quotas = {
        each.type: each for each in shop.client.list_quota_details(sdk.ListQuotaDetailsRequest()).quotas.resources
    }
    assert (quotas["endpoint_service"].quota, quotas["endpoint"].quota) == (20, 50)
    [one] = pay.client.list_quota_details(sdk.ListQuotaDetailsRequest(type="endpoint")).quotas.resources
    assert one.type == "endpoint"
    [version] = shop.client.list_version_details(sdk.ListVersionDetailsRequest()).versions
    assert (version.id, version.status) == ("v1", "CURRENT")
    single = shop.client.list_specified_version_details(sdk.ListSpecifiedVersionDetailsRequest(version="v1"))
    assert single.version.links[0].href.startswith("https://")

    service = pay.publish(server_type="LB", ports=[{"client_port": 6, "server_port": 6}])
    more = [sdk.ServerResource(resource_id=port, availability_zone_id="az1") for port in pay.ports]
    body = sdk.AddEndpointServiceServerResourceRequestBody(server_resources=more)
    request = sdk.AddEndpointServiceServerResourceRequest(vpc_endpoint_service_id=service.id, body=body)
    assert pay.client.add_endpoint_service_server_resource(request).status_code == 204
    upgrade = sdk.UpgradeEndpointServiceRequest(vpc_endpoint_service_id=service.id)
    assert pay.client.upgrade_endpoint_service(upgrade).status_code == 204
    assert pay.service(service.id).port_id == pay.ports[0]
    pay.delete_service(service.id)


def test_a_region_by_its_name_is_enough(sidegate: Standalone, shop: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK asks the mini IAM for the project."""
    monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", sidegate.https)
    monkeypatch.setenv("HUAWEICLOUD_SDK_REGION_VPCEP_LOCAL", sidegate.https)
    config = HttpConfig.get_default_config()
    config.ssl_ca_cert = sidegate.ready["ca"]
    builder = sdk.VpcepClient.new_builder().with_http_config(config)
    client = builder.with_credentials(BasicCredentials(shop.key.access, shop.key.secret)).with_region(
        VpcepRegion.value_of("local")
    )
    assert client.build().list_endpoints(sdk.ListEndpointsRequest()).total_count >= 0


def test_out_of_order_every_operation_is_refused_in_its_own_words(shop: Tenant, pay: Tenant) -> None:
    """Nothing of it is there: what is asked for is not found, and nothing fails in another way."""
    assert refusal(lambda: shop.service(NOBODY)) == (404, "EndPoint.0005")
    assert refusal(lambda: shop.service("no-uuid")) == (404, "EndPoint.0005")
    assert refusal(lambda: shop.endpoint(NOBODY)) == (404, "EndPoint.2006")
    assert refusal(lambda: shop.connect(NOBODY)) == (400, "EndPoint.2003")
    assert refusal(lambda: connections(shop, NOBODY)) == (404, "EndPoint.0005")
    assert refusal(lambda: permissions(shop, NOBODY)) == (404, "EndPoint.0005")
    assert refusal(lambda: pay.publish(port_id=pay.ports[1], vpc_id=NOBODY)) == (400, "EndPoint.2001")
    assert refusal(lambda: pay.publish(port_id=NOBODY)) == (400, "EndPoint.3008")
    assert refusal(lambda: pay.publish(server_type="BMS")) == (400, "EndPoint.3021")
    assert refusal(lambda: pay.publish(service_name="x" * 17)) == (400, "EndPoint.3076")
    assert refusal(lambda: pay.publish(ports=[{"client_port": 0, "server_port": 1}])) == (400, "EndPoint.3004")
    assert refusal(lambda: pay.publish(ports=[])) == (400, "EndPoint.3043")
    many = [{"client_port": number, "server_port": number} for number in range(1, 202)]
    assert refusal(lambda: pay.publish(ports=many)) == (400, "EndPoint.3074")
    service = pay.publish(ports=[{"client_port": 7, "server_port": 7}])
    assert refusal(lambda: pay.publish(ports=[{"client_port": 8, "server_port": 7}])) == (400, "EndPoint.3044")
    assert refusal(lambda: shop.connect(service.id)) == (400, "EndPoint.2003"), "not permitted looks as not there"
    assert refusal(lambda: shop.service(service.id)) == (404, "EndPoint.0005")
    assert refusal(lambda: pay.decide(service.id, NOBODY, "receive")) == (400, "EndPoint.2013")
    pay.permit(service.id, "*")
    assert refusal(lambda: shop.connect(service.id, subnet_id=None)) == (400, "EndPoint.2010")
    assert refusal(lambda: shop.connect(service.id, subnet_id=NOBODY)) == (400, "EndPoint.0023")
    assert refusal(lambda: shop.connect(service.id, vpc_id=NOBODY)) == (400, "EndPoint.2037")
    assert refusal(lambda: shop.connect(service.id, port_ip="10.9.9.9")) == (400, "EndPoint.2043")
    assert refusal(lambda: shop.connect(service.id, port_ip="ten")) == (400, "EndPoint.2041")
    assert refusal(lambda: shop.connect(service.id, port_ip="10.0.0.10")) == (400, "EndPoint.2042")
    assert refusal(lambda: shop.connect(service.id, whitelist=["10.0.0.1/33"])) == (400, "EndPoint.2044")
    pay.delete_service(service.id)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": 1001}, "EndPoint.0006"),
        ({"limit": -1}, "EndPoint.0006"),
        ({"offset": -1}, "EndPoint.0010"),
        ({"sort_key": "created_at"}, "EndPoint.0017"),
        ({"sort_dir": "up"}, "EndPoint.0018"),
        ({"status": "accepted"}, "EndPoint.0019"),
    ],
)
def test_a_list_names_what_it_does_not_take(shop: Tenant, query: dict[str, Any], code: str) -> None:
    request = sdk.ListEndpointServiceRequest(**query)
    assert refusal(lambda: shop.client.list_endpoint_service(request)) == (400, code)


def test_a_list_of_nothing_says_how_much_there_is(pay: Tenant) -> None:
    made = [pay.publish(ports=[{"client_port": 1, "server_port": 900 + place}]).id for place in range(3)]
    none = pay.client.list_endpoint_service(sdk.ListEndpointServiceRequest(limit=0))
    assert none.endpoint_services == []
    assert none.total_count >= 3
    newest = pay.client.list_endpoint_service(sdk.ListEndpointServiceRequest(limit=2)).endpoint_services
    assert [each.id for each in newest] == made[:0:-1], "newest first, unless it is said otherwise"
    for each in made:
        pay.delete_service(each)


def test_a_wrong_key_and_another_project_are_refused(sidegate: Standalone, shop: Tenant, pay: Tenant) -> None:
    request = sdk.ListEndpointsRequest()
    for access, secret in ((shop.key.access, "wrong"), ("AKUNKNOWN", shop.key.secret)):
        stranger = sdk_client(sidegate, Key(access, secret, shop.account))
        assert refusal(lambda s=stranger: s.list_endpoints(request)) == (401, "EndPoint.0003")  # type: ignore[misc] # untyped SDK
    astray = sdk_client(sidegate, Key(shop.key.access, shop.key.secret, pay.account))
    assert refusal(lambda: astray.list_endpoints(request)) == (403, "EndPoint.0004")
    config = HttpConfig.get_default_config()
    config.ssl_ca_cert = sidegate.ready["ca"]
    credentials = BasicCredentials(shop.key.access, shop.key.secret)
    without = sdk.VpcepClient.new_builder().with_http_config(config).with_credentials(credentials)
    client = without.with_endpoint(sidegate.https).build()
    assert refusal(lambda: client.list_endpoints(request)) == (400, "EndPoint.0014")
    assert re.fullmatch("[0-9a-f]{32}", shop.key.project_id)


def test_a_backend_is_an_address_or_a_port_and_a_viewer_changes_neither(pay: Tenant) -> None:
    service = pay.publish(ports=[{"client_port": 11, "server_port": 11}])

    def update(**what: Any) -> Any:
        body = sdk.UpdateEndpointServiceRequestBody(**what)
        request = sdk.UpdateEndpointServiceRequest(vpc_endpoint_service_id=service.id, body=body)
        return pay.client.update_endpoint_service(request)

    moved = update(ip="10.0.0.77")
    assert (moved.ip, moved.port_id) == ("10.0.0.77", "")
    assert update(port_id=pay.ports[1]).ip == ""
    assert refusal(lambda: update(ip="ten")) == (400, "EndPoint.3010")
    assert refusal(lambda: update(ip="10.9.9.9")) == (400, "EndPoint.3042")
    assert refusal(lambda: update(ip="10.0.0.77", port_id=pay.ports[0])) == (400, "EndPoint.3052")
    made = pay.sidegate.answer("key", "create", pay.account, "--role", "viewer")
    viewer = sdk_client(pay.sidegate, Key.of(made))
    request = sdk.ListServiceDetailsRequest(vpc_endpoint_service_id=service.id)
    assert viewer.list_service_details(request).id == service.id
    delete = sdk.DeleteEndpointServiceRequest(vpc_endpoint_service_id=service.id)
    assert refusal(lambda: viewer.delete_endpoint_service(delete)) == (404, "EndPoint.0005")
    pay.delete_service(service.id)
