"""`sidegate endpoint traffic`, `service traffic` and `gateway list`, as people and programs read them."""

import re

import pytest

from services.http_api.own.models import EndpointTraffic, ServiceTraffic
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate
from tests.unit.test_cli_backends import consumed, published


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


@pytest.fixture
def service(cli: CommandLine) -> str:
    """A service with an endpoint, to-web."""
    id_ = published(cli)
    consumed(cli, id_)
    return id_


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_an_endpoints_owner_reads_sums_rates_and_samples(cli: CommandLine, service: str) -> None:
    total, now, _, titles, first, second, last = cli.text("endpoint", "traffic", "to-web").splitlines()
    assert re.fullmatch(
        r"since 2023-11-1[45] \d\d:13:20: 3 sessions now, 40 made, 123\.5 kB in, 7\.0 kB out, "
        r"refused: 12 whitelist, 4 port",
        total,
    )
    assert now == "now: 1.5 kB/s in, 25.0 MB/s out, 50 packets/s, 2 refused/s"
    assert titles.split() == ["FROM", "SESSIONS", "MADE", "IN", "OUT", "REFUSED"]
    assert cells(first)[1:] == ["2", "30", "100.0 kB", "0 B"]
    assert cells(second)[1:] == ["2", "0", "0 B", "0 B"]
    assert cells(last)[1:] == ["3", "10", "23.5 kB", "7.0 kB", "12 whitelist, 4 port"]
    assert [line.split()[0][-5:] for line in (first, second, last)] == ["13:20", "13:25", "13:30"]
    minutes = cli.text("endpoint", "traffic", "to-web", "--over", "3h").splitlines()[4:]
    assert [line.split()[0][-5:] for line in minutes] == ["13:20", "14:20", "15:20"]


def test_a_services_owner_reads_them_by_connection(cli: CommandLine, service: str) -> None:
    lines = cli.text("service", "traffic", "web").splitlines()
    assert "refused: 7 backend" in lines[0]
    titles, row = lines[-2:]
    assert titles.split()[:4] == ["ENDPOINT", "ACCOUNT", "MARKER", "SESSIONS"]
    assert cells(row)[3:] == ["3", "40", "123.5 kB", "7.0 kB", "1.5 kB/s", "25.0 MB/s", "7 backend"]
    answer = cli.answer("service", "traffic", "web", "--endpoint", "to-web", "--over", "3h")
    assert [each["endpoint_id"] for each in answer["connections"]] == [cells(row)[0]]
    assert ServiceTraffic.model_validate(answer).model_dump() == answer, "HTTPS answers with the same"
    assert answer["series"]["step"] == "60s"


def test_programs_read_all_that_was_answered(cli: CommandLine, service: str) -> None:
    answer = cli.answer("endpoint", "traffic", "to-web")
    assert answer["total"]["refused"] == {"port": 4, "whitelist": 12}
    assert answer["rates"]["packets_out"] == 30.5
    assert (answer["series"]["step"], len(answer["series"]["samples"])) == ("5s", 3)
    assert EndpointTraffic.model_validate(answer).model_dump() == answer


def test_nothing_is_said_in_so_many_words(cli: CommandLine) -> None:
    published(cli)
    done = cli.run("service", "traffic", "web")
    assert (done.exit_code, done.stderr.strip()) == (0, "nothing was seen")


def test_the_operator_reads_how_gateways_are(cli: CommandLine, fake: FakeSidegate) -> None:
    titles, here, lost = cli.text("gateway", "list").splitlines()
    assert titles.split()[:3] == ["GATEWAY", "CELL", "STATE"]
    assert cells(here)[:4] == ["gw-1", "default", "joined", "yes"]
    assert cells(here)[5:] == ["3 (<1 %)", "123.5 kB", "7.0 kB", "1.5 kB/s", "25.0 MB/s", "37 no_port, 2 ttl"]
    assert cells(lost)[:4] == ["gw-2", "west", "lost", "no"]
    assert "0.9.0" in cli.text("gateway", "list", "-o", "wide")
    (only,) = cli.answer("gateway", "list", "--cell", "west")
    assert (only["gateway_id"], only["state"], only["total"]) == ("gw-2", "lost", None)
    fake.gateways.gateways.clear()
    assert cli.run("gateway", "list").stderr.strip() == "no gateways"
