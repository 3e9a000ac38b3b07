"""`sidegate topology` of a running Sidegate: the operator sees all of it, a tenant what is his, while packets pass."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from tests.support import namespaces
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import MACHINE, Site, eventually_answers, machine, site, tcp

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sites(sidegate: Standalone) -> AsyncIterator[Sequence[Site]]:
    async with contextlib.AsyncExitStack() as stack:
        made = stack.enter_context(namespaces.make("topo-shop", "topo-pay"))
        pairs = zip(("shop", "payments"), made, strict=True)
        yield [await stack.enter_async_context(site(sidegate, account, namespace)) for account, namespace in pairs]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connected(sidegate: Standalone, sites: Sequence[Site]) -> AsyncIterator[tuple[EndpointService, Endpoint]]:
    """An endpoint through which packets have passed."""
    shop, payments = sites
    async with machine(payments.namespace, "payments"):
        service = await payments.publish("web", approval=True)
        await payments.client.services.permit(service.id, ["iam:domain::shop"])
        endpoint = await shop.request(service)
        await payments.client.connections.accept(service.id, endpoint.id)
        accepted = await shop.accepted(endpoint)
        assert await eventually_answers(shop.namespace, endpoint.address, 80) == "payments"
        await until("the gateway to have nothing more to do", lambda: in_sync(sidegate))
        yield service, accepted


async def in_sync(sidegate: Standalone) -> bool:
    async with sidegate.client("operator") as operator:
        return (await operator.gateway.status()).in_sync


async def test_the_operator_sees_both_sides_and_the_gateway_between_them(
    sidegate: Standalone, sites: Sequence[Site], connected: tuple[EndpointService, Endpoint]
) -> None:
    shop, payments = sites
    service, endpoint = connected
    seen = sidegate.answer("topology")
    assert {each["owner"] for each in seen["vpcs"]} == {"shop/default", "payments/default"}
    assert [each["target"] for vpc in seen["vpcs"] for each in vpc["attachments"]] == [
        f"netns {payments.namespace.name}",
        f"netns {shop.namespace.name}",
    ]
    (connection,) = seen["connections"]
    assert connection == {
        "endpoint_id": endpoint.id,
        "service_id": service.id,
        "account": "shop",
        "marker": endpoint.marker_id,
        "state": "accepted",
        "tone": "good",
        "reason": "",
    }
    (backend,) = seen["services"][0]["backends"]
    assert (backend["address"], bool(backend["port_id"])) == (MACHINE, True)
    assert [each["state"] for cell in seen["cells"] for each in cell["gateways"]] == ["in sync"]
    text = sidegate.cli("topology").stdout
    assert f"{endpoint.address} ──▶ web  accepted" in text.replace("  ──▶", " ──▶")
    assert "\x1b" not in text, "colours are for terminals"


async def test_each_side_sees_nothing_of_the_other(
    sidegate: Standalone, sites: Sequence[Site], connected: tuple[EndpointService, Endpoint]
) -> None:
    shop, payments = sites
    service, endpoint = connected
    for form in ("text", "json", "dot", "svg"):
        consumers = sidegate.cli("topology", "--format", form, account="shop").stdout
        providers = sidegate.cli("topology", "--format", form, account="payments").stdout
        assert service.id in consumers if form != "text" else "web" in consumers
        for told in (payments.vpc_id, payments.subnet_id, "payments", "8080", "netns"):
            assert told not in consumers, (form, told)
        for told in (shop.vpc_id, shop.subnet_id, "shop-net", "netns", endpoint.port_id):
            assert told not in providers, (form, told)
    told = sidegate.answer("topology", account="shop")
    assert [each["backends"] for each in told["services"]] == [[]]
    told = sidegate.answer("topology", account="payments")
    assert told["endpoints"] == []
    assert [each["account"] for each in told["connections"]] == ["shop"]


async def test_the_picture_is_whole_asks_nobody_for_anything_and_shows_what_happens(
    sidegate: Standalone, sites: Sequence[Site], connected: tuple[EndpointService, Endpoint], tmp_path: Path
) -> None:
    _, payments = sites
    service, endpoint = connected
    file = tmp_path / "topology.svg"
    done = sidegate.cli("topology", "--svg", str(file))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    drawn = file.read_text()
    _asks_nobody(drawn)
    edge = _edge(drawn, f"endpoint:{endpoint.id}", f"service:{service.id}")
    assert "good" in edge.get("class", "")
    await payments.client.connections.reject(service.id, endpoint.id)
    try:
        edge = _edge(sidegate.cli("topology", "--format", "svg").stdout, *_ends(service, endpoint))
        assert "bad" in edge.get("class", "")
        assert "rejected" in "".join(edge.itertext())
    finally:
        await payments.client.connections.accept(service.id, endpoint.id)


async def test_routes_route_tables_names_and_resolvers_are_shown_to_their_owner(
    sidegate: Standalone, sites: Sequence[Site], connected: tuple[EndpointService, Endpoint]
) -> None:
    """A gateway-type endpoint has no address: it stands in its VPC with its prefixes, and packets go there."""
    shop, _ = sites
    async with sidegate.client("operator") as operator:
        store = await operator.vpcs.create("cloud-net", ["10.0.0.0/24"])
        with namespaces.make("topo-cloud") as (cloud,):
            await operator.attachments.create(store.id, NetnsTarget(namespace=cloud.name))
            await until("the gateway's device", lambda: _is_attached(cloud))
            cloud.add_address(f"{MACHINE}/24")
            async with machine(cloud, "the store"):
                service = await operator.services.create(
                    "store",
                    store.id,
                    [Backend(address=MACHINE)],
                    [tcp(80, 8080)],
                    service_type=EndpointService.SERVICE_TYPE_GATEWAY,
                    server_type=EndpointService.SERVER_TYPE_CLOUD,
                    public_prefixes=["100.125.0.0/24"],
                )
                table = await shop.client.route_tables.create("private", shop.vpc_id, [shop.subnet_id])
                await shop.client.vpcs.set_resolver(shop.vpc_id, shop.subnet_id, address="10.0.0.53")
                routed = await shop.client.endpoints.create(
                    service.id, vpc_id=shop.vpc_id, route_tables=[table.id], name="routed"
                )
                await shop.accepted(routed)
                named = await shop.client.endpoints.create(
                    connected[0].full_name, shop.subnet_id, name="named", dns_enabled=True
                )
                assert await eventually_answers(shop.namespace, "100.125.0.7", 80) == "the store"
                said = sidegate.cli("topology", account="shop").stdout
                for each in ("route table private", "resolver 10.0.0.53", f"{named.id}.local.sidegate.internal"):
                    assert each in said
                assert "endpoint routed  routes to 100.125.0.0/24  for private ──▶ store  accepted" in said
                assert f"endpoint:{routed.id}->service:{service.id}" in _edges(
                    sidegate.cli("topology", "--format", "svg").stdout
                )
                for form in ("text", "json", "dot"):
                    assert store.id not in sidegate.cli("topology", "--format", form, account="shop").stdout


async def test_a_vpc_alone_and_what_is_at_the_other_ends(
    sidegate: Standalone, sites: Sequence[Site], connected: tuple[EndpointService, Endpoint]
) -> None:
    async with sidegate.client("lonely") as client:
        vpc = await client.vpcs.create("lonely-net", ["10.0.0.0/24"])
    seen = sidegate.answer("topology", "--vpc", "payments-net")
    assert {each["name"] for each in seen["vpcs"]} == {"shop-net", "payments-net"}
    seen = sidegate.answer("topology", "--vpc", vpc.id)
    assert [each["name"] for each in seen["vpcs"]] == ["lonely-net"]
    assert seen["connections"] == []
    done = sidegate.cli("topology", "--vpc", "shop-net", account="payments")
    assert done.returncode == 3, done


def _ends(service: EndpointService, endpoint: Endpoint) -> tuple[str, str]:
    return f"endpoint:{endpoint.id}", f"service:{service.id}"


def _asks_nobody(drawn: str) -> None:
    """No address of another host is in it but the namespace's name, which is nobody's page."""
    rest = drawn.replace('xmlns="http://www.w3.org/2000/svg"', "", 1)
    assert [each for each in ("//", "href", "url(", "@import", "<!DOCTYPE", "<script") if each in rest] == []


async def _is_attached(space: Namespace) -> bool:
    return "sidegate0" in space.devices()


def _edges(drawn: str) -> set[str]:
    root = ElementTree.fromstring(drawn)  # noqa: S314 # drawn by Graphviz a moment ago
    svg = "{http://www.w3.org/2000/svg}"
    return {each.findtext(f"{svg}title", "") for each in root.iter(f"{svg}g") if "edge" in each.get("class", "")}


def _edge(drawn: str, tail: str, head: str) -> ElementTree.Element:
    root = ElementTree.fromstring(drawn)  # noqa: S314 # drawn by Graphviz a moment ago
    svg = "{http://www.w3.org/2000/svg}"
    return next(each for each in root.iter(f"{svg}g") if each.findtext(f"{svg}title", "") == f"{tail}->{head}")
