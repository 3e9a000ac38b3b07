"""HAProxy in annexes: started, told of endpoints while it runs, found again, and ended with its annex."""

import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.annexes import Proxied
from services.gateway_agent.dataplane import haproxy
from services.gateway_agent.dataplane.annex_sockets import open_in_annex
from services.gateway_agent.dataplane.haproxy import MOST_BEFORE, Haproxies, _command, find_haproxy, wait_for
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.port import DataplaneError, NotReady, ProxyMissing
from services.gateway_agent.table import Affinity, Attachment, Timeouts
from services.gateway_agent.targets import Annex, annex_id
from tests.support.namespaces import Namespace
from tests.support.worlds import KernelWorld, Vpc

pytestmark = pytest.mark.root

ENDED = 10.0  # seconds
CLIENT = "127.0.0.9"


def proxied(vpc: Vpc, number: int = 0, *ports: int, affinity: Affinity = Affinity.NONE) -> Proxied:
    return Proxied(
        str(uuid4()), 7 + number, vpc.id, ip_address("10.0.1.0") + number, ports or (443,), affinity=affinity
    )


@pytest.fixture
def haproxies(world: KernelWorld, tmp_path_factory: pytest.TempPathFactory) -> Haproxies:
    assert find_haproxy(), "this test needs HAProxy: make setup-test"
    return Haproxies(world.gateway_id, tmp_path_factory.mktemp("run") / "annexes")


@pytest.fixture
async def vpc(world: KernelWorld) -> Vpc:
    """With an annex."""
    made = await world.vpc("shop", "10.0.0.10")
    await world.put(Attachment(annex_id(made.id), Annex(made.id)))
    return made


def home(haproxies: Haproxies, vpc: Vpc) -> Path:
    return haproxies._of(vpc.id)


def known(haproxies: Haproxies, vpc: Vpc) -> set[str]:
    """The endpoints that the process has, as itself says."""
    told = _command(home(haproxies, vpc), "show map endpoints.map")
    return {line.split(" ", 1)[1] for line in told.splitlines() if line}


def children(world: KernelWorld, vpc: Vpc) -> Iterator[int]:
    """Processes that are in the annex."""
    inode = Path("/run/netns", Naming(world.gateway_id).annex(vpc.id)).stat().st_ino
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            if str(path.readlink()) == f"net:[{inode}]":
                yield int(path.parts[2])
        except OSError:
            continue


async def test_another_endpoint_is_told_to_the_process_that_runs_and_another_port_to_one_that_takes_its_place(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    one, two = proxied(vpc), proxied(vpc, 1)
    first = haproxies.put(vpc.id, [one])
    assert haproxies.put(vpc.id, [one, two]) == first
    assert {line.split()[0] for line in known(haproxies, vpc)} == {"10.0.1.0", "10.0.1.1"}
    assert haproxies.put(vpc.id, [two]) == first
    (line,) = known(haproxies, vpc)
    assert line.endswith(f"|marker=8;endpoint={two.endpoint};vpc={vpc.id}")
    second = haproxies.put(vpc.id, [two, proxied(vpc, 2, 25)])
    assert second != first
    assert wait_for(first, ENDED), "the old process had nothing to do any more"
    assert len(known(haproxies, vpc)) == 2


async def test_many_endpoints_are_told_in_one_piece(haproxies: Haproxies, vpc: Vpc) -> None:
    many = [proxied(vpc, number) for number in range(300)]
    first = haproxies.put(vpc.id, many[:1])
    assert haproxies.put(vpc.id, many) == first
    assert len(known(haproxies, vpc)) == 300


async def test_it_works_as_nobody_and_what_it_reads_is_roots_alone(haproxies: Haproxies, vpc: Vpc) -> None:
    pid = haproxies.put(vpc.id, [proxied(vpc, affinity=Affinity.SOURCE_ADDRESS)])
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    place = home(haproxies, vpc)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in place.glob("*.[cm]*")} == {0o600}


async def test_the_next_agent_finds_it_again_and_starts_none(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    one, two = proxied(vpc), proxied(vpc, 1)
    pid = haproxies.put(vpc.id, [one])
    await world.restart()
    successor = Haproxies(world.gateway_id, haproxies._directory)
    successor.keep_only([vpc.id])
    assert successor.put(vpc.id, [two]) == pid
    assert len(known(successor, vpc)) == 1
    assert list(children(world, vpc)) == [pid]


async def test_one_that_was_killed_is_started_anew_and_a_strangers_number_is_nobodys(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    one = proxied(vpc)
    pid = haproxies.put(vpc.id, [one])
    os.kill(pid, signal.SIGKILL)
    assert wait_for(pid, ENDED)
    (home(haproxies, vpc) / "pid").write_text(f"{os.getpid()}\n")
    again = haproxies.put(vpc.id, [one])
    assert again not in {pid, os.getpid()}
    assert len(known(haproxies, vpc)) == 1


async def test_what_could_not_be_told_is_told_by_the_next_attempt_though_it_looks_as_before(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    """What is written down of a process that did not start is not what the one that runs knows."""
    one, two = proxied(vpc), proxied(vpc, 1)
    pid = haproxies.put(vpc.id, [one])
    with Namespace(Naming(world.gateway_id).annex(vpc.id)).run(lambda: _taken(25)), pytest.raises(DataplaneError):
        haproxies.put(vpc.id, [one, replace(two, ports=(25,))])
    after = haproxies.put(vpc.id, [one, two])
    assert len(known(haproxies, vpc)) == 2, f"process {pid} is {after} now"


async def test_one_that_was_killed_between_telling_and_writing_down_is_told_again(
    haproxies: Haproxies, vpc: Vpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = proxied(vpc), proxied(vpc, 1)
    haproxies.put(vpc.id, [one])
    with monkeypatch.context() as killed:
        killed.setattr(haproxy, "_write", _killed)
        with pytest.raises(KeyboardInterrupt):
            haproxies.put(vpc.id, [two])
    haproxies.put(vpc.id, [one])
    (line,) = known(haproxies, vpc)
    assert line.startswith("10.0.1.0 ")


async def test_a_resolver_in_the_same_annex_is_in_nobodys_way(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    """Of a service that has port 53 with PROXY, whichever of them is there first."""
    for proxy_first in (False, True):
        if proxy_first:
            haproxies.put(vpc.id, [proxied(vpc, 0, 53)])
        udp, tcp = open_in_annex(world.gateway_id, vpc.id, 4)
        with closing(udp), closing(tcp):
            haproxies.put(vpc.id, [proxied(vpc, 0, 53)])
        haproxies.stop(vpc.id)


async def test_it_ends_with_its_annex(world: KernelWorld, haproxies: Haproxies, vpc: Vpc) -> None:
    pid = haproxies.put(vpc.id, [proxied(vpc)])
    await world.remove(Attachment(annex_id(vpc.id), Annex(vpc.id)))
    assert wait_for(pid, 0.0)
    haproxies.keep_only([])
    assert not haproxies._directory.exists()


async def test_one_whose_annex_somebody_deleted_is_ended_and_another_works_in_the_new_annex(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    annex = Attachment(annex_id(vpc.id), Annex(vpc.id))
    first = haproxies.put(vpc.id, [proxied(vpc)])
    Namespace(Naming(world.gateway_id).annex(vpc.id)).delete()
    await world.put(annex)
    second = haproxies.put(vpc.id, [proxied(vpc)])
    assert wait_for(first, 0.0)
    assert list(children(world, vpc)) == [second]
    Namespace(Naming(world.gateway_id).annex(vpc.id)).delete()
    haproxies.stop(vpc.id)
    assert wait_for(second, 0.0), "it is found by its directory, too"


async def test_it_is_stopped_where_no_endpoint_needs_it_though_the_annex_stays(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    pid = haproxies.put(vpc.id, [proxied(vpc)])
    haproxies.stop(vpc.id)
    assert wait_for(pid, 0.0)
    assert not list(children(world, vpc))
    assert not home(haproxies, vpc).exists()


async def test_so_many_go_on_for_their_connections_and_the_oldest_ends_for_another(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc
) -> None:
    """Whoever changes the idle time again and again, with a connection open each time, had as many as he liked."""
    inside, started = Namespace(Naming(world.gateway_id).annex(vpc.id)), list[int]()
    inside.ip("rule", "add", "from", CLIENT, "lookup", "100")  # to whom the endpoint's address is in the annex itself
    inside.ip("route", "add", "local", "10.0.1.0/32", "dev", "lo", "table", "100")
    with ExitStack() as stack:
        for seconds in range(60, 60 + MOST_BEFORE + 3):
            one = replace(proxied(vpc), timeouts=replace(Timeouts(), tcp_established=seconds))
            started.append(haproxies.put(vpc.id, [one]))
            client = stack.enter_context(inside.tcp_socket(CLIENT))
            client.setblocking(True)
            client.connect(("10.0.1.0", 443))
        there = set(children(world, vpc))
    assert started[-1] in there
    assert 1 < len(there) <= 1 + MOST_BEFORE
    assert there <= set(started[-1 - MOST_BEFORE :])


async def test_a_program_of_another_name_is_known_by_how_it_was_started(
    world: KernelWorld, haproxies: Haproxies, vpc: Vpc, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("bin") / "haproxy-2.8"
    shutil.copy(find_haproxy() or "", program)
    named = Haproxies(world.gateway_id, haproxies._directory, str(program))
    one = proxied(vpc)
    pid = named.put(vpc.id, [one])
    assert named.put(vpc.id, [one]) == pid
    named.stop(vpc.id)
    assert wait_for(pid, 0.0)


async def test_what_is_missing_is_named(world: KernelWorld, haproxies: Haproxies, vpc: Vpc) -> None:
    without = Haproxies(world.gateway_id, haproxies._directory, "/nowhere/haproxy")
    with pytest.raises(ProxyMissing, match="no /nowhere/haproxy: apt-get install haproxy"):
        without.put(vpc.id, [proxied(vpc)])
    with pytest.raises(NotReady, match=r"network namespace sidegate-annex-.* is not there yet"):
        haproxies.put(str(uuid4()), [proxied(vpc)])
    inside = Namespace(Naming(world.gateway_id).annex(vpc.id))
    with inside.run(lambda: _taken(443)), pytest.raises(DataplaneError, match=r"does not start: .*:443"):
        haproxies.put(vpc.id, [proxied(vpc)])


def _killed(*_arguments: object) -> None:
    raise KeyboardInterrupt


def _taken(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6)
    made.bind(("::", port))
    made.listen()
    return made
