"""`sidegate service health`, and what `sidegate endpoint get` says of backends."""

import json

import pytest

from services.http_api.own.models import ServiceHealth
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def published(cli: CommandLine) -> str:
    vpc = cli.answer("vpc", "create", "payments", "--cidr", "10.0.0.0/24")["id"]
    ports = ("--backend", "10.0.0.10", "--backend", "10.0.0.11", "--port", "80:8080/tcp")
    return str(cli.answer("service", "create", "web", "--vpc", vpc, *ports)["id"])


def consumed(cli: CommandLine, service: str) -> None:
    vpc = cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")["id"]
    subnet = cli.answer("subnet", "create", "front", "--vpc", vpc, "--cidr", "10.0.0.0/25")["id"]
    cli.answer("endpoint", "create", "--name", "to-web", "--service", service, "--subnet", subnet)


def test_each_backend_has_a_line_and_the_exit_code_says_whether_one_is_unhealthy(cli: CommandLine) -> None:
    consumed(cli, published(cli))
    done = cli.run("service", "health", "web")
    assert done.exit_code == 1
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:4] == ["GATEWAY", "BACKEND", "CONDITION", "SINCE"]
    assert lines[1][:3] == ["gw-1", "10.0.0.10", "well"]
    assert lines[1][-3:] == ["yes", "1.2", "ms"]
    assert "HTTP status 503 from port 8080" in done.stdout
    assert lines[2][:3] == ["gw-1", "10.0.0.11", "unhealthy"]


def test_programs_read_the_same_facts(cli: CommandLine) -> None:
    service = published(cli)
    consumed(cli, service)
    told = json.loads(cli.run("service", "health", "web", "-o", "json").stdout)
    (gateway,) = told["gateways"]
    assert (told["service_id"], gateway["gateway_id"]) == (service, "gw-1")
    assert [(each["condition"], each["median_time"]) for each in gateway["backends"]] == [
        ("well", "0.001250s"), ("unhealthy", None),
    ]  # fmt: skip
    assert gateway["backends"][0]["last_error_time"] is None


def test_a_service_that_nobody_asks_for_is_said_to_be_one(cli: CommandLine) -> None:
    published(cli)
    done = cli.run("service", "health", "web")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "no gateway asks" in done.stderr


def test_the_https_api_shows_the_same_facts(cli: CommandLine) -> None:
    consumed(cli, published(cli))
    told = json.loads(cli.run("service", "health", "web", "-o", "json").stdout)
    assert ServiceHealth.model_validate(told).model_dump() == told
