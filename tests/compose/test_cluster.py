"""docker-compose.yml as a cluster: real containers, real packets, and whatever restarts."""

import ipaddress
import json
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.compose.base_images import REPOSITORY
from tests.compose.cluster import ENDPOINT, TIMED_OUT, Cluster, eventually
from tests.compose.engine import CommandFailed

SOURCES = ipaddress.ip_network("198.19.128.0/17")
SERVER, GATEWAY = "10.62.0.10", "10.61.0.2"
UNPUBLISHED = 9090  # the server listens there too
PROGRAMS = ("postgres", "nats", "registry", "endpoint", "gateway", "http-api", "console")
MACHINES = ("client", "server")

ONE_SESSION = """
import http.client, sys, time
connection = http.client.HTTPConnection(sys.argv[1], timeout=float(sys.argv[2]))
connection.auto_open = False  # it is one connection, or none
connection.connect()
while True:
    connection.request("GET", "/")
    connection.getresponse().read()
    print(time.monotonic(), flush=True)
    time.sleep(0.02)
"""

LIST_VPCS = """
import json, sys, tempfile
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkvpc.v2 import ListVpcsRequest, VpcClient
account, config = json.load(open(sys.argv[1])), HttpConfig.get_default_config()
with tempfile.NamedTemporaryFile("w", suffix=".pem") as ca:
    ca.write(account["ca"])
    ca.flush()
    config.ssl_ca_cert = ca.name
    key = BasicCredentials(account["access_key"], account["secret_key"], account["project_id"])
    client = VpcClient.new_builder().with_credentials(key).with_http_config(config)
    print(client.with_endpoint(account["http_api"]["https"]).build().list_vpcs(ListVpcsRequest()).vpcs)
"""

SIGN_IN = """
import json, re, ssl, sys, httpx
about = json.load(open(sys.argv[1]))
trust = ssl.create_default_context(cadata=about["ca"])
with httpx.Client(base_url=about["console"]["https"], verify=trust, follow_redirects=True) as browser:
    door = browser.get("/")
    form = {"access_key": about["access_key"], "secret_key": about["secret_key"], "next": "/"}
    form["csrf"] = re.search(r'name="csrf" value="([^"]+)"', door.text)[1]
    inside = browser.post("/sign-in", data=form)
    print(door.url.path, inside.url.path, inside.status_code, 'action="/sign-out"' in inside.text)
"""

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]


def answers(cluster: Cluster) -> bool:
    return cluster.curl().returncode == 0


def answered_after(session: "subprocess.Popen[str]", moment: float) -> None:
    """Reads what the session says until it was answered later than the moment, by the clock that all have."""
    assert session.stdout is not None
    assert any(float(line) > moment for line in session.stdout), "the connection ended"


def endpoint(cluster: Cluster) -> Any:
    (found,) = cluster.sidegate("shop", "endpoint", "list")
    return found


def decide(cluster: Cluster, verdict: str) -> None:
    """By payments: accept or reject; again while a program is away."""

    def done() -> bool:
        try:
            cluster.sidegate("payments", "connection", verdict, "web", endpoint(cluster)["id"])
        except CommandFailed:
            return False
        return True

    eventually(done, f"payments could not {verdict}")


def assert_whole(cluster: Cluster) -> None:
    """Packets pass, and a decision goes all the way through the programs to the kernel, both ways."""
    eventually(lambda: answers(cluster), "no packet passes")
    decide(cluster, "reject")
    eventually(lambda: cluster.curl().returncode == TIMED_OUT, "what was rejected still passes")
    decide(cluster, "accept")
    eventually(lambda: answers(cluster), "what was accepted does not pass")


def test_the_one_documented_curl_is_answered_and_the_server_sees_no_address_of_the_client(running: Cluster) -> None:
    documented = f"docker compose exec client curl http://{ENDPOINT}/"
    said = running.engine.docker("logs", running.container("setup")).stdout
    assert documented in said
    assert documented in (REPOSITORY / "README.md").read_text()

    answer = running.curl()

    assert answer.returncode == 0
    found = re.search(r"payments here, reached from (\S+)", answer.stdout)
    assert found, answer.stdout
    assert ipaddress.ip_address(found[1]) in SOURCES


def test_neither_a_port_that_is_not_published_nor_the_backend_itself_is_reached(running: Cluster) -> None:
    assert running.curl(port=UNPUBLISHED).returncode == TIMED_OUT
    assert running.curl(SERVER, 8080).returncode == TIMED_OUT


def test_the_gateway_does_not_route_even_for_a_client_that_sends_it_packets_for_the_backend(running: Cluster) -> None:
    client = running.container("client")
    assert running.beside(client, "ip", "route", "add", SERVER, "via", GATEWAY).returncode == 0
    try:
        assert running.curl(SERVER, 8080).returncode == TIMED_OUT
        assert answers(running)
    finally:
        running.beside(client, "ip", "route", "del", SERVER)


def test_reject_cuts_an_established_connection_and_accept_lets_new_ones_pass(running: Cluster) -> None:
    with running.start_in_client("python", "-c", ONE_SESSION, ENDPOINT, "3") as session:
        answered_after(session, 0)
        decide(running, "reject")
        assert session.wait(60) != 0
    assert running.curl().returncode == TIMED_OUT

    decide(running, "accept")

    eventually(lambda: answers(running), "what was accepted does not pass")


def test_the_machines_command_line_verifies_both_logs_in_postgresql(running: Cluster) -> None:
    verified = running.sidegate("operator", "audit", "verify")

    assert {log["log"] for log in verified} == {"registry", "endpoint"}
    assert all(log["records"] for log in verified)


def test_the_sdk_reaches_the_https_api_at_its_published_port(running: Cluster) -> None:
    account = running.sidegate("operator", "account", "create", "sdk")
    account["http_api"] = {"https": "https://127.0.0.1:7443"}
    (file := running.secrets.with_name("sdk.json")).write_text(json.dumps(account))
    command = (*running.engine.inside, sys.executable, "-c", LIST_VPCS, str(file))

    assert running.engine.run(*command, timeout=60).stdout == "[]\n"


def test_the_operator_signs_in_to_the_console_at_its_published_port(running: Cluster) -> None:
    about = json.loads(running.config().read_text())
    about["console"] = {"https": "https://127.0.0.1:7444"}
    (file := running.secrets.with_name("console.json")).write_text(json.dumps(about))
    command = (*running.engine.inside, sys.executable, "-c", SIGN_IN, str(file))

    assert running.engine.run(*command, timeout=60).stdout == "/sign-in / 200 True\n"


def test_the_gateways_container_shows_the_table_as_the_kernel_has_it(running: Cluster) -> None:
    shown = running.engine.docker("exec", running.container("gateway"), "sidegate", "gateway", "show")

    assert ENDPOINT in shown.stdout


def test_a_second_up_changes_nothing(running: Cluster) -> None:
    before = state(running)

    running.up()

    assert state(running) == before
    assert answers(running)


def state(cluster: Cluster) -> tuple[dict[str, str], list[Any]]:
    """Which processes run, since when, and all that was ever decided."""
    started = {name: cluster.about(name) for name in (*PROGRAMS, *MACHINES)}
    return {name: each["State"]["StartedAt"] for name, each in started.items()}, cluster.sidegate(
        "operator", "audit", "list"
    )


@pytest.mark.parametrize("service", [*PROGRAMS, "server"])
def test_a_restart_of_any_container_is_recovered_from(running: Cluster, service: str) -> None:
    running.engine.docker("restart", running.container(service))

    assert_whole(running)


@pytest.mark.parametrize("service", PROGRAMS)
def test_a_kill_of_any_program_is_recovered_from(running: Cluster, service: str) -> None:
    crash(running, service)

    assert_whole(running)


def crash(cluster: Cluster, service: str) -> None:
    """Until it runs again, in another network namespace, as every time."""
    network = cluster.about(service)["NetworkSettings"]["SandboxID"]
    cluster.kill(service)

    def runs_again() -> bool:
        return cluster.about(service)["NetworkSettings"]["SandboxID"] not in ("", network)

    eventually(runs_again, "it is not restarted")


def test_an_established_connection_outlives_a_crash_of_the_gateway(running: Cluster) -> None:
    with running.start_in_client("python", "-c", ONE_SESSION, ENDPOINT, "60") as session:
        answered_after(session, 0)
        crash(running, "gateway")
        answered_after(session, time.monotonic())
        session.terminate()  # of `docker exec`: what it started ends when it can no longer write
