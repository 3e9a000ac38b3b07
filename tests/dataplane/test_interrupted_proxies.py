"""Changes of proxies, and of services that keep the source, that are interrupted before any of their writes."""

from dataclasses import replace
from ipaddress import IPv4Network
from uuid import UUID

import pytest

from services.gateway_agent.dataplane.endpoint_sources import NO_SOURCE
from services.gateway_agent.table import ClientIdentity, Endpoint, Entry, PortMapping, Protocol, Put, Remove, Service
from tests.dataplane.test_interrupted import (
    CLIENT,
    MORE,
    OTHER_BACKEND,
    OTHER_CLIENT,
    OTHER_ENDPOINT,
    Alter,
    Scene,
    interrupt_anywhere,
    scene,
)
from tests.support.tables import backends
from tests.support.worlds import ENDPOINT

__all__ = ["scene"]
pytestmark = pytest.mark.root

PORTS = (PortMapping(80, 8080, Protocol.TCP, ClientIdentity.PROXY), PortMapping(81, 8081, Protocol.TCP))
PLAIN = (replace(PORTS[0], identity=ClientIdentity.NONE), PORTS[1])
NONE, FIRST, SECOND = "", str(UUID(int=1)), str(UUID(int=2))
ONE_CLIENT, BOTH = (IPv4Network(f"{CLIENT}/32"),), (IPv4Network(f"{CLIENT}/32"), IPv4Network(f"{OTHER_CLIENT}/32"))


def proxies(scene: Scene) -> list[Entry]:
    """Each is known by the port of its backend."""
    return [
        Service(
            id_, scene.payments.id, (PortMapping(80, port, Protocol.TCP),), backends(OTHER_BACKEND), keeps_source=True
        )
        for id_, port in ((FIRST, 9001), (SECOND, 9002))
    ]


def table(scene: Scene, *further: Entry) -> list[Entry]:
    return [scene.shop.attachment, scene.payments.attachment, *proxies(scene), *further]


def change_of_endpoint(before: str, after: str, **values: object) -> Alter:
    """From one proxy to another."""

    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Put]:
        service = replace(scene.service, ports=PORTS)
        old = replace(scene.endpoint, proxy=before, allowed=BOTH)
        new = replace(old, proxy=after, **values)  # type: ignore[arg-type]  # the fields of the dataclass
        return table(scene, service, old), table(scene, service, new), Put(new)

    return alter


def change_of_ports(before: tuple[PortMapping, ...], after: tuple[PortMapping, ...]) -> Alter:
    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Put]:
        old, new = (replace(scene.service, ports=ports) for ports in (before, after))
        endpoint = replace(scene.endpoint, proxy=FIRST)
        return table(scene, old, endpoint), table(scene, new, endpoint), Put(new)

    return alter


def removed_endpoint(scene: Scene) -> tuple[list[Entry], list[Entry], Remove]:
    service, endpoint = replace(scene.service, ports=PORTS), replace(scene.endpoint, proxy=FIRST)
    return table(scene, service, endpoint), table(scene, service), Remove(endpoint.key)


def keeping(scene: Scene) -> Endpoint:
    return replace(scene.endpoint, service=FIRST, source_address=NO_SOURCE)


def new_endpoint_that_keeps(scene: Scene) -> tuple[list[Entry], list[Entry], Put]:
    return table(scene, scene.service), table(scene, scene.service, keeping(scene)), Put(keeping(scene))


def removed_endpoint_that_keeps(scene: Scene) -> tuple[list[Entry], list[Entry], Remove]:
    return table(scene, scene.service, keeping(scene)), table(scene, scene.service), Remove(keeping(scene).key)


def beside_its_outer(scene: Scene) -> tuple[list[Entry], list[Entry], Put]:
    """An entry for a proxy, which has the source addresses of the endpoint that it is for."""
    service = replace(scene.service, ports=PORTS)
    outer = replace(scene.endpoint, proxy=FIRST, more_sources=MORE)
    inner = replace(outer, id=str(UUID(int=3)), address=type(outer.address)(OTHER_ENDPOINT), proxy=service.id)
    assert str(outer.address) == ENDPOINT
    return table(scene, service, outer), table(scene, service, outer, inner), Put(inner)


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(change_of_endpoint(NONE, FIRST), id="a proxy comes"),
        pytest.param(change_of_endpoint(FIRST, NONE), id="a proxy goes"),
        pytest.param(
            change_of_endpoint(FIRST, SECOND, allowed=ONE_CLIENT, more_sources=MORE),
            id="another proxy, a narrower whitelist and more source addresses",
        ),
        pytest.param(change_of_endpoint(FIRST, SECOND, admission=2), id="another proxy and admission"),
        pytest.param(change_of_ports(PLAIN, PORTS), id="the port gets a proxy"),
        pytest.param(change_of_ports(PORTS, PLAIN), id="the port has none any more"),
        pytest.param(removed_endpoint, id="a removed endpoint with a proxy"),
        pytest.param(new_endpoint_that_keeps, id="a new endpoint that keeps the source"),
        pytest.param(removed_endpoint_that_keeps, id="a removed endpoint that keeps the source"),
        pytest.param(beside_its_outer, id="a new entry for a proxy"),
    ],
)
async def test_a_change_that_is_interrupted_anywhere_is_safe_and_is_healed(
    scene: Scene,
    alter: Alter,
) -> None:
    await interrupt_anywhere(scene, alter)
