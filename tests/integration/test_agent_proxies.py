"""What an agent says of endpoints whose backends are told of clients: that they pass packets when a proxy does."""

import subprocess
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.gateway_agent.annexes import Proxied, inner_id, proxy_id
from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.dataplane.port import DataplaneError, ProxyMissing
from services.gateway_agent.proxies import PROXY_AWAY, PROXY_MISSING, Proxies
from services.gateway_agent.table import Key, Kind
from services.gateway_agent.targets import Annex, annex_id
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from tests.support.agent import BASE, QUICK, SHOP, Harness, agent, endpoint, eventually, id_of, service
from tests.support.control_plane import ABSENT, FORWARDING, HINDERED, ControlPlane, Told, control_plane
from tests.support.nats import DEADLINE

SOURCES = (
    gateway_pb.GetTableRequest.SOURCE_UNSPECIFIED,
    gateway_pb.GetTableRequest.SOURCE_DESIRED,
    gateway_pb.GetTableRequest.SOURCE_REPLAY,
)


class Runner:
    """Runs processes that do nothing. Fails with `failure`, and does nothing before `may`."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.failure: DataplaneError | None = None
        self.told: list[frozenset[Proxied]] = []
        self.stopped: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def put(self, vpc: str, proxied: Collection[Proxied]) -> int:
        assert self.may.wait(DEADLINE)
        if self.failure:
            raise self.failure
        self.told.append(frozenset(proxied))
        if vpc not in self.processes or self.processes[vpc].poll() is not None:
            self.processes[vpc] = subprocess.Popen(["sleep", "1000"])
        return self.processes[vpc].pid

    def stop(self, vpc: str) -> None:
        self.stopped.append(vpc)
        self.end(vpc)

    def keep_only(self, vpcs: Collection[str]) -> None:
        assert SHOP in vpcs or not vpcs

    def end(self, vpc: str) -> None:
        if (process := self.processes.pop(vpc, None)) is not None:
            process.kill()
            process.wait()

    def pid(self) -> int:
        return self.processes[SHOP].pid if SHOP in self.processes else 0


@contextmanager
def running() -> Iterator[Runner]:
    runner = Runner()
    try:
        yield runner
    finally:
        runner.may.set()
        for vpc in tuple(runner.processes):
            runner.end(vpc)


@pytest.fixture
def runner() -> Iterator[Runner]:
    with running() as made:
        yield made


def telling(version: int = 1, *, told: bool = True) -> Told:
    """The service, with a port that tells who clients are."""
    made = service(version)
    identity = service_pb.EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL
    if told:
        made.service.port_mappings.add(client_port=443, server_port=8443, client_identity=identity)
    return made


async def begin(control: ControlPlane, *more: Told) -> None:
    await control.tell(*BASE[:2], telling(), endpoint(), *more)


async def test_it_passes_packets_when_its_proxy_knows_of_it_and_not_before(tmp_path: Path, runner: Runner) -> None:
    async with control_plane() as control:
        await begin(control)
        async with agent(control, FakeKernel(), tmp_path, proxies=Proxies(runner, QUICK)) as gateway:
            await eventually("the endpoint's entry", lambda: _has(gateway, Key(Kind.ENDPOINT, id_of("1"))))
            await eventually("a turn after it", lambda: gateway.agent.reconciler.position == 4)
            assert id_of("1") not in control.reports
            runner.may.set()
            await control.reported(id_of("1"), FORWARDING)
            ((told,),) = runner.told
            assert (told.endpoint, told.vpc, told.ports) == (id_of("1"), SHOP, (443,))
        said = {report.endpoint_id for call in control.calls for report in call.endpoints}
        assert said == {id_of("1")}, "what is there only for others is nobody's business"


def _has(gateway: Harness, key: Key) -> bool:
    return key in gateway.dataplane.table().entries


async def test_without_haproxy_it_is_hindered_until_that_is_installed(tmp_path: Path, runner: Runner) -> None:
    runner.may.set()
    runner.failure = ProxyMissing("there is no haproxy: apt-get install haproxy")
    async with control_plane() as control:
        await begin(control)
        async with agent(control, FakeKernel(), tmp_path, proxies=Proxies(runner, QUICK)) as gateway:
            assert await control.reported(id_of("1"), HINDERED) == PROXY_MISSING
            assert await gateway.dataplane.forwards(), "its other ports pass packets"
            async with gateway.tap() as tap:
                table = await tap.table()
            difficulties = {each.entry.service.service_id: each.difficulty for each in table.entries}
            assert "apt-get install haproxy" in difficulties[proxy_id(id_of("1"))]
            runner.failure = None
            await control.reported(id_of("1"), FORWARDING)


async def test_a_proxy_that_ends_is_started_again_and_meanwhile_that_is_said(tmp_path: Path, runner: Runner) -> None:
    runner.may.set()
    async with control_plane() as control:
        await begin(control)
        async with agent(control, FakeKernel(), tmp_path, proxies=Proxies(runner, QUICK)):
            await control.reported(id_of("1"), FORWARDING)
            runner.failure = DataplaneError("HAProxy does not start: no room")
            first = runner.pid()
            runner.end(SHOP)
            assert await control.reported(id_of("1"), HINDERED) == PROXY_AWAY
            runner.failure = None
            await control.reported(id_of("1"), FORWARDING)
            assert runner.pid() not in {0, first}


async def test_the_next_agent_tells_a_proxy_that_runs_of_what_has_changed_meanwhile(
    tmp_path: Path, runner: Runner
) -> None:
    runner.may.set()
    kernel = FakeKernel()
    async with control_plane() as control:
        await begin(control)
        async with agent(control, kernel, tmp_path, proxies=Proxies(runner, QUICK)):
            await control.reported(id_of("1"), FORWARDING)
        first = runner.pid()
        await control.tell(endpoint("2"))
        async with agent(control, kernel, tmp_path, proxies=Proxies(runner, QUICK)):
            await control.reported(id_of("2"), FORWARDING)
            assert {each.endpoint for each in runner.told[-1]} == {id_of("1"), id_of("2")}
            assert runner.pid() == first


async def test_nothing_is_left_when_no_endpoint_needs_a_proxy_any_more(tmp_path: Path, runner: Runner) -> None:
    runner.may.set()
    async with control_plane() as control:
        await begin(control)
        async with agent(control, FakeKernel(), tmp_path, proxies=Proxies(runner, QUICK)) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            added = [
                Key(Kind.ATTACHMENT, annex_id(SHOP)),
                Key(Kind.SERVICE, proxy_id(id_of("1"))),
                Key(Kind.ENDPOINT, inner_id(id_of("1"))),
            ]
            assert all(_has(gateway, key) for key in added)
            await control.tell(telling(2, told=False))
            await eventually("the proxy to be stopped", lambda: runner.stopped == [SHOP])
            await eventually("what was added to go", lambda: not any(_has(gateway, key) for key in added))
            await control.tell(telling(3), endpoint(generation=2, removed=True))
            await control.reported(id_of("1"), ABSENT, 2)
            assert set(runner.stopped) == {SHOP}
            assert len(gateway.dataplane.table().entries) == 3


async def test_the_table_is_shown_with_what_annexes_need_from_whatever_source(tmp_path: Path, runner: Runner) -> None:
    runner.may.set()
    async with control_plane() as control:
        await begin(control)
        async with agent(control, FakeKernel(), tmp_path, proxies=Proxies(runner, QUICK)) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            async with gateway.table_service() as service_:
                tables = [await service_.table(source) for source in SOURCES]
            shown = [[each.entry.SerializeToString(deterministic=True) for each in told.entries] for told in tables]
            assert len(shown[0]) == 7
            assert shown[0] == shown[1] == shown[2]


async def test_a_proxy_is_told_anew_when_its_annex_is_made_anew(tmp_path: Path, runner: Runner) -> None:
    runner.may.set()
    async with control_plane() as control:
        await begin(control)
        async with agent(control, FakeKernel(), tmp_path, proxies=Proxies(runner, QUICK)) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            times = len(runner.told)
            gateway.dataplane.lose(Annex(SHOP))
            await control.reported(id_of("1"), HINDERED)
            gateway.dataplane.restore(Annex(SHOP))
            await control.reported(id_of("1"), FORWARDING)
            assert len(runner.told) > times
