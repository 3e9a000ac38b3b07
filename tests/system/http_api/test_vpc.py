"""The VPC side of the HTTPS API, in a whole Sidegate: by the official SDK, and as Terraform's Go client calls it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkvpc.v2 import (
    BatchCreateVpcTagsRequest,
    BatchCreateVpcTagsRequestBody,
    CreatePortOption,
    CreatePortRequest,
    CreatePortRequestBody,
    CreateSubnetOption,
    CreateSubnetRequest,
    CreateSubnetRequestBody,
    CreateVpcOption,
    CreateVpcRequest,
    CreateVpcRequestBody,
    DeletePortRequest,
    DeleteSubnetRequest,
    DeleteVpcRequest,
    FixedIp,
    ListPortsRequest,
    ListSubnetsRequest,
    ListVpcsRequest,
    Port,
    ResourceTag,
    ShowPortRequest,
    ShowSubnetRequest,
    ShowVpcRequest,
    ShowVpcTagsRequest,
    Subnet,
    UpdatePortOption,
    UpdatePortRequest,
    UpdatePortRequestBody,
    UpdateSubnetOption,
    UpdateSubnetRequest,
    UpdateSubnetRequestBody,
    UpdateVpcOption,
    UpdateVpcRequest,
    UpdateVpcRequestBody,
    Vpc,
    VpcClient,
)

from tests.support import namespaces, sdk, terraform
from tests.support.configuration import Configuration
from tests.support.golang import Go, Unexpected
from tests.support.plugging import plugged
from tests.support.signed import Key
from tests.support.standalone import Standalone
from tests.support.world import eventually_answers, machine, who_answers

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SIDEGATE = "${var.sidegate}"
SOURCES = IPv4Network("198.19.128.0/17")
ENDPOINT = "10.0.0.100"
LISTS = (
    ("/v1/{project_id}/vpc-endpoints", "endpoints"),
    ("/v1/{project_id}/vpc-endpoint-services", "endpoint_services"),
    ("/v1/{project_id}/ports", "ports"),
    ("/v1/{project_id}/subnets", "subnets"),
    ("/v1/{project_id}/vpcs", "vpcs"),
)
DEFAULT = f"{namespaces.PREFIX}-{{vpc_id}}"
"""The namespaces of the default attachment here: names that this test run knows as its own."""


@pytest.fixture(scope="module")
def accounts(sidegate: Standalone) -> Mapping[str, Mapping[str, Any]]:
    """Their VPCs are attached as the operator says here."""
    sidegate.answer("attachment", "set-default", "--netns", DEFAULT)
    return {name: sidegate.answer("account", "create", name) for name in ("shop", "payments")}


@pytest.fixture
def shop(sidegate: Standalone, accounts: Mapping[str, Mapping[str, Any]]) -> VpcClient:
    return sdk.client(VpcClient, sidegate, accounts["shop"])


@pytest.fixture
def payments(sidegate: Standalone, accounts: Mapping[str, Mapping[str, Any]]) -> VpcClient:
    return sdk.client(VpcClient, sidegate, accounts["payments"])


def make_vpc(client: VpcClient, name: str, **said: Any) -> Vpc:
    option = CreateVpcOption(**{"name": name, "cidr": "10.0.0.0/24", **said})
    return client.create_vpc(CreateVpcRequest(CreateVpcRequestBody(vpc=option))).vpc


def make_subnet(client: VpcClient, vpc: Vpc, **said: Any) -> Subnet:
    whole = {"name": "main", "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1", "vpc_id": vpc.id, **said}
    request = CreateSubnetRequest(CreateSubnetRequestBody(subnet=CreateSubnetOption(**whole)))
    return client.create_subnet(request).subnet


def make_port(client: VpcClient, subnet: Subnet, address: str = "", **said: Any) -> Port:
    fixed = [FixedIp(ip_address=address)] if address else None
    option = CreatePortOption(network_id=subnet.id, fixed_ips=fixed, **said)
    return client.create_port(CreatePortRequest(CreatePortRequestBody(port=option))).port


def clear(client: VpcClient, vpc: Vpc, *subnets: Subnet, ports: Sequence[Port] = ()) -> None:
    for port in ports:
        client.delete_port(DeletePortRequest(port_id=port.id))
    for subnet in subnets:
        client.delete_subnet(DeleteSubnetRequest(vpc_id=vpc.id, subnet_id=subnet.id))
    client.delete_vpc(DeleteVpcRequest(vpc_id=vpc.id))


def refused(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ClientRequestException) as caught:
        call()
    return caught.value.status_code, caught.value.error_code


def life_of_a_vpc(client: VpcClient) -> None:
    vpc = make_vpc(client, "life", description="sold here", tags=["team*web"])
    assert (vpc.name, vpc.cidr, vpc.description, vpc.status) == ("life", "10.0.0.0/24", "sold here", "OK")
    assert vpc in client.list_vpcs(ListVpcsRequest()).vpcs
    assert client.show_vpc(ShowVpcRequest(vpc_id=vpc.id)).vpc == vpc
    option = UpdateVpcOption(name="other", cidr="10.0.0.0/16", description="")
    request = UpdateVpcRequest(vpc_id=vpc.id, body=UpdateVpcRequestBody(vpc=option))
    changed = client.update_vpc(request).vpc
    assert (changed.name, changed.cidr, changed.description) == ("other", "10.0.0.0/16", "")
    more = BatchCreateVpcTagsRequestBody(action="create", tags=[ResourceTag(key="floor", value="2")])
    client.batch_create_vpc_tags(BatchCreateVpcTagsRequest(vpc_id=vpc.id, body=more))
    tags = client.show_vpc_tags(ShowVpcTagsRequest(vpc_id=vpc.id)).tags
    assert {tag.key: tag.value for tag in tags} == {"team": "web", "floor": "2"}
    life_of_a_subnet(client, vpc)
    clear(client, vpc)
    assert refused(lambda: client.show_vpc(ShowVpcRequest(vpc_id=vpc.id))) == (404, "VPC.0003")


def life_of_a_subnet(client: VpcClient, vpc: Vpc) -> None:
    said = {"primary_dns": "10.0.0.53", "secondary_dns": "10.0.0.54", "availability_zone": "az-1"}
    subnet = make_subnet(client, vpc, **said)
    assert subnet.id == subnet.neutron_network_id
    assert (subnet.status, subnet.dhcp_enable, subnet.dns_list) == ("ACTIVE", True, ["10.0.0.53", "10.0.0.54"])
    assert client.list_subnets(ListSubnetsRequest(vpc_id=vpc.id)).subnets == [subnet]
    option = UpdateSubnetOption(name="front", dhcp_enable=False, dns_list=["10.0.0.55"])
    body = UpdateSubnetRequestBody(subnet=option)
    told = client.update_subnet(UpdateSubnetRequest(vpc_id=vpc.id, subnet_id=subnet.id, body=body)).subnet
    assert (told.id, told.status) == (subnet.id, "ACTIVE")
    changed = client.show_subnet(ShowSubnetRequest(subnet_id=subnet.id)).subnet
    assert (changed.name, changed.dhcp_enable, changed.primary_dns) == ("front", False, "10.0.0.55")
    life_of_a_port(client, subnet)
    client.delete_subnet(DeleteSubnetRequest(vpc_id=vpc.id, subnet_id=subnet.id))


def life_of_a_port(client: VpcClient, subnet: Subnet) -> None:
    port, other = make_port(client, subnet, "10.0.0.10", name="web-1"), make_port(client, subnet)
    assert (port.name, port.fixed_ips[0].ip_address, port.network_id) == ("web-1", "10.0.0.10", subnet.id)
    assert (other.name, other.fixed_ips[0].ip_address) == ("", "10.0.0.2")
    assert client.show_port(ShowPortRequest(port_id=port.id)).port == port
    assert client.list_ports(ListPortsRequest(network_id=subnet.id)).ports == [port, other]
    assert client.list_ports(ListPortsRequest(fixed_ips=["ip_address=10.0.0.2"])).ports == [other]
    same = UpdatePortRequest(port_id=port.id, body=UpdatePortRequestBody(port=UpdatePortOption(name="web-1")))
    assert client.update_port(same).port == port
    taken = refused(lambda: make_port(client, subnet, "10.0.0.10"))
    assert taken == (400, "VPC.0101")
    for each in (port, other):
        client.delete_port(DeletePortRequest(port_id=each.id))
    assert refused(lambda: client.show_port(ShowPortRequest(port_id=port.id))) == (404, "VPC.1002")


async def test_the_sdk_makes_reads_changes_and_deletes_vpcs_subnets_and_ports(shop: VpcClient) -> None:
    await asyncio.to_thread(life_of_a_vpc, shop)


async def test_tags_that_many_set_at_once_are_all_there(
    sidegate: Standalone, accounts: Mapping[str, Mapping[str, Any]], shop: VpcClient
) -> None:
    vpc = await asyncio.to_thread(make_vpc, shop, "tagged")
    async with Go(sidegate, Key.of(accounts["shop"])) as go:
        tags = f"/v2.0/{{project_id}}/vpcs/{vpc.id}/tags"
        bodies = [{"action": "create", "tags": [{"key": f"k{number}", "value": "v"}]} for number in range(4)]
        await asyncio.gather(*(go.ask("POST", f"{tags}/action", body, ok={204}) for body in bodies))
        assert {tag["key"] for tag in (await go.ask("GET", tags))["tags"]} == {"k0", "k1", "k2", "k3"}
    await asyncio.to_thread(clear, shop, vpc)


def life_in_ipv6(client: VpcClient) -> None:
    """A range of IPv6 comes beside the first one; whatever form it is written in, it is read in one."""
    vpc = make_vpc(client, "both", cidr="fd00:30::/48")
    assert vpc.cidr == "fd00:30::/48"
    subnet = make_subnet(client, vpc, cidr="FD00:30:0:0::/64", gateway_ip="fd00:0030::1", ipv6_enable=True)
    assert (subnet.cidr, subnet.cidr_v6) == ("fd00:30::/64", "fd00:30::/64")
    assert (subnet.gateway_ip, subnet.gateway_ip_v6, subnet.ipv6_enable) == ("fd00:30::1", "fd00:30::1", True)
    port = make_port(client, subnet, "fd00:0030::0a")
    assert [fixed.ip_address for fixed in port.fixed_ips] == ["fd00:30::a"]
    found = client.list_ports(ListPortsRequest(fixed_ips=["ip_address=FD00:30::A"])).ports
    assert found == [port]
    drawn = make_port(client, subnet)
    assert ip_address(drawn.fixed_ips[0].ip_address) in ip_network(subnet.cidr)
    clear(client, vpc, subnet, ports=[port, drawn])


async def test_vpcs_subnets_and_ports_of_ipv6_are_made_read_and_deleted(shop: VpcClient) -> None:
    await asyncio.to_thread(life_in_ipv6, shop)


async def test_lists_go_on_after_their_marker(shop: VpcClient) -> None:
    def story() -> None:
        vpcs = [make_vpc(shop, f"page-{number}") for number in range(3)]
        ids = [vpc.id for vpc in vpcs]
        first = [vpc.id for vpc in shop.list_vpcs(ListVpcsRequest(limit=2)).vpcs]
        rest = [vpc.id for vpc in shop.list_vpcs(ListVpcsRequest(limit=2, marker=first[-1])).vpcs]
        assert first + rest == ids
        assert shop.list_vpcs(ListVpcsRequest(marker=ids[-1])).vpcs == []
        assert refused(lambda: shop.list_vpcs(ListVpcsRequest(marker="nothing"))) == (400, "VPC.0101")
        for vpc in vpcs:
            clear(shop, vpc)

    await asyncio.to_thread(story)


async def test_what_is_in_use_is_409_and_what_is_anothers_is_not_there(shop: VpcClient, payments: VpcClient) -> None:
    def story() -> None:
        vpc = make_vpc(shop, "private")
        subnet = make_subnet(shop, vpc)
        port = make_port(shop, subnet)
        delete_subnet = DeleteSubnetRequest(vpc_id=vpc.id, subnet_id=subnet.id)
        assert refused(lambda: shop.delete_vpc(DeleteVpcRequest(vpc_id=vpc.id))) == (409, "VPC.0104")
        assert refused(lambda: shop.delete_subnet(delete_subnet)) == (409, "VPC.0209")
        assert refused(lambda: payments.show_vpc(ShowVpcRequest(vpc_id=vpc.id))) == (404, "VPC.0003")
        assert refused(lambda: payments.delete_vpc(DeleteVpcRequest(vpc_id=vpc.id))) == (404, "VPC.0003")
        assert refused(lambda: payments.show_subnet(ShowSubnetRequest(subnet_id=subnet.id))) == (404, "VPC.0202")
        assert refused(lambda: payments.delete_subnet(delete_subnet)) == (404, "VPC.0202")
        assert refused(lambda: payments.show_port(ShowPortRequest(port_id=port.id))) == (404, "VPC.1002")
        assert refused(lambda: payments.show_vpc_tags(ShowVpcTagsRequest(vpc_id=vpc.id))) == (404, "VPC.0003")
        assert refused(lambda: make_subnet(payments, vpc)) == (404, "VPC.0003")
        assert refused(lambda: make_port(payments, subnet)) == (404, "VPC.0202")
        assert payments.list_vpcs(ListVpcsRequest()).vpcs == payments.list_ports(ListPortsRequest()).ports == []
        clear(shop, vpc, subnet, ports=[port])

    await asyncio.to_thread(story)


async def test_what_sidegate_would_not_do_is_refused_with_the_way_out(shop: VpcClient) -> None:
    def story() -> None:
        vpc = make_vpc(shop, "refusals")
        with pytest.raises(ClientRequestException, match=r"give 10\.0\.0\.1, the first address"):
            make_subnet(shop, vpc, gateway_ip="10.0.0.254")
        with pytest.raises(ClientRequestException, match="make another with an IPv6 cidr"):
            make_subnet(shop, vpc, ipv6_enable=True)
        subnet = make_subnet(shop, vpc)
        with pytest.raises(ClientRequestException, match="security_groups is not supported"):
            make_port(shop, subnet, security_groups=["web"])
        again = {"description": "another request than the one before"}
        assert refused(lambda: make_vpc(shop, "refusals", **again)) == (400, "VPC.0115")
        assert refused(lambda: make_subnet(shop, vpc, name="again")) == (400, "VPC.0204")
        assert refused(lambda: make_vpc(shop, "no.dots")) == (400, "VPC.0101")
        clear(shop, vpc, subnet)

    await asyncio.to_thread(story)


async def test_a_terraform_run_plans_nothing_after_it_and_leaves_nothing_behind(
    sidegate: Standalone, accounts: Mapping[str, Mapping[str, Any]]
) -> None:
    vpc, subnet, interface = terraform.Vpc(), terraform.Subnet(), terraform.NetworkInterface()
    of_vpc = {
        "name": "terraform",
        "cidr": "10.0.0.0/24",
        "description": "by terraform",
        "tags": {"team": "web", "stage": "test"},
        "secondary_cidrs": ["10.1.0.0/24"],
    }
    async with Go(sidegate, Key.of(accounts["shop"])) as go:
        vpc_id = await vpc.create(go, of_vpc)
        of_subnet = {
            "name": "front",
            "cidr": "10.0.0.0/25",
            "gateway_ip": "10.0.0.1",
            "vpc_id": vpc_id,
            "primary_dns": "10.0.0.53",
            "dhcp_enable": False,
            "availability_zone": "az-1",
            "tags": {"team": "web"},
        }
        subnet_id = await subnet.create(go, of_subnet)
        of_port = {"subnet_id": subnet_id, "name": "web", "fixed_ip_v4": "10.0.0.10"}
        port_id = await interface.create(go, of_port)
        assert terraform.plan(of_vpc, await vpc.read(go, vpc_id)) == {}
        assert terraform.plan(of_subnet, await subnet.read(go, subnet_id)) == {}
        assert terraform.plan(of_port, await interface.read(go, port_id)) == {}
        other = {**of_vpc, "name": "other", "description": "", "tags": {"team": "db"}, "secondary_cidrs": []}
        await vpc.update(go, vpc_id, of_vpc, other)
        changed = {**of_subnet, "name": "back", "description": "behind", "tags": {}, "secondary_dns": "10.0.0.54"}
        await subnet.update(go, subnet_id, of_subnet, changed)
        assert terraform.plan(other, await vpc.read(go, vpc_id)) == {}
        assert terraform.plan(changed, await subnet.read(go, subnet_id)) == {}
        with pytest.raises(Unexpected, match="another name for a port"):
            await interface.update(go, port_id, of_port, {**of_port, "name": "db"})
        await interface.delete(go, port_id, {})
        await subnet.delete(go, subnet_id, {"vpc_id": vpc_id})
        await vpc.delete(go, vpc_id, {})
        for resource, id_ in ((vpc, vpc_id), (subnet, subnet_id), (interface, port_id)):
            assert await resource.read(go, id_) is None
    assert vpc_id not in {each["vpc_id"] for each in sidegate.answer("attachment", "list")}


@pytest.mark.timeout(400)
async def test_a_configuration_of_public_resources_ends_in_packets_and_destroying_it_in_nothing(
    sidegate: Standalone, accounts: Mapping[str, Mapping[str, Any]]
) -> None:
    keys = {name: Key.of(account) for name, account in accounts.items()}
    async with (
        Go(sidegate, keys["shop"]) as shop,
        Go(sidegate, keys["payments"]) as payments,
        plugged(sidegate) as networks,
    ):
        whole = Configuration(EXAMPLES / "terraform" / "main.tf", {"shop": shop, "payments": payments})
        assert {endpoint for each in whole.providers.values() for endpoint in each["endpoints"].values()} == {SIDEGATE}
        try:
            await whole.apply()
            assert await whole.plan() == {}
            here, there = (networks[whole.states[f"huaweicloud_vpc.{name}"]["id"]] for name in ("shop", "payments"))
            async with machine(there, "payments") as seen, machine(there, "unpublished", 9090), machine(here, "shop"):
                assert await eventually_answers(here, ENDPOINT, 80) == "payments"
                assert all(ip_address(source) in SOURCES for source in seen)
                for namespace, port in ((here, 9090), (here, 8080), (there, 80)):
                    assert await who_answers(namespace, ENDPOINT, port) is None
                await whole.destroy()
                assert await who_answers(here, ENDPOINT, 80) is None
        finally:
            await whole.destroy()
        for go in (shop, payments):
            for path, name in LISTS:
                assert (await go.ask("GET", path))[name] == []


@pytest.mark.timeout(400)
async def test_the_example_of_the_sdk_runs_as_it_is_written(
    sidegate: Standalone, accounts: Mapping[str, Mapping[str, Any]], tmp_path: Path
) -> None:
    files = []
    for name, account in accounts.items():
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(account))
    command = [sys.executable, str(EXAMPLES / "vpc_endpoint.py"), *map(str, files), "--networks", DEFAULT]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "endpoint 10.0.0.100 is pendingAcceptance: no answer",
        "endpoint 10.0.0.100 is accepted: payments here",
        "nothing is left",
    ]
    left = await asyncio.to_thread(sidegate.answer, "attachment", "list")
    assert not [each for each in left if each["by_default"]]
