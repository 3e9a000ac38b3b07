"""Every noun and verb of the command line against a fake that keeps what it is told."""

import re
from pathlib import Path
from typing import Any

import pytest

from sidegate.api.endpoint.v1 import endpoint_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


@pytest.fixture
def vpc(cli: CommandLine) -> Any:
    return cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")


@pytest.fixture
def subnet(cli: CommandLine, vpc: Any) -> Any:
    return cli.answer("subnet", "create", "front", "--vpc", vpc["id"], "--cidr", "10.0.0.0/24")


@pytest.fixture
def service(cli: CommandLine, vpc: Any) -> Any:
    backend = ("--backend", "10.0.0.10", "--port", "80:8080/tcp")
    return cli.answer("service", "create", "web", "--vpc", vpc["id"], *backend, "--approval")


@pytest.fixture
def endpoint(cli: CommandLine, service: Any, subnet: Any) -> Any:
    return cli.answer(
        "endpoint", "create", "--service", service["full_name"], "--subnet", subnet["id"], "--name", "to-web"
    )


def test_a_vpc_is_created_shown_listed_and_deleted(cli: CommandLine, vpc: Any) -> None:
    assert vpc == {
        "id": vpc["id"],
        "project": "",
        "account": "",
        "name": "shop",
        "cidrs": ["10.0.0.0/24"],
        "create_time": "2023-11-14T22:13:20Z",
        "etag": "",
        "description": "",
        "tags": [],
        "resolver": None,
    }
    assert UUID.fullmatch(vpc["id"])
    assert cli.answer("vpc", "get", "shop") == vpc
    assert cli.answer("vpc", "list") == [vpc]
    assert cli.answer("vpc", "delete", "shop") == {"id": vpc["id"], "state": "deleted"}
    assert cli.answer("vpc", "list") == []


def test_a_vpc_has_a_resolver_as_long_as_it_is_wanted(cli: CommandLine, vpc: Any, subnet: Any) -> None:
    command = ("vpc", "resolver", "set", "shop", "--subnet", "front")
    made = cli.answer(*command, "--forward", "9.9.9.9", "--forward", "192.0.2.1:5353")["resolver"]
    assert (made["subnet_id"], made["forwarders"]) == (subnet["id"], ["9.9.9.9", "192.0.2.1:5353"])
    assert "10.0.0.2; other names from 9.9.9.9, 192.0.2.1:5353" in cli.text("vpc", "get", "shop")
    assert "10.0.0.53; other names are refused" in cli.text(*command, "--ip", "10.0.0.53")
    assert cli.answer("vpc", "resolver", "delete", "shop")["resolver"] is None


def test_a_service_has_a_private_name_that_is_verified(cli: CommandLine, service: Any) -> None:
    asked = cli.text("service", "update", "web", "--private-name", "api.example.com")
    assert "api.example.com (not verified: publish" in asked
    assert "api.example.com (verified)" in cli.text("service", "verify-name", "web")
    assert cli.answer("service", "update", "web", "--private-name", "")["private_name"] is None


def test_a_vpc_may_have_several_ranges(cli: CommandLine) -> None:
    vpc = cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24", "--cidr", "10.2.0.0/16")
    assert vpc["cidrs"] == ["10.0.0.0/24", "10.2.0.0/16"]


def test_a_subnet_is_created_shown_listed_and_deleted(cli: CommandLine, vpc: Any, subnet: Any) -> None:
    assert (subnet["vpc_id"], subnet["cidr"], subnet["create_time"]) == (vpc["id"], "10.0.0.0/24", None)
    cli.answer("vpc", "create", "other", "--cidr", "10.0.0.0/24")
    assert cli.answer("subnet", "get", "front") == subnet
    assert cli.answer("subnet", "list") == cli.answer("subnet", "list", "--vpc", "shop") == [subnet]
    assert cli.answer("subnet", "list", "--vpc", "other") == []
    assert cli.answer("subnet", "delete", "front")["state"] == "deleted"


def test_a_route_table_is_created_shown_listed_changed_and_deleted(cli: CommandLine, vpc: Any, subnet: Any) -> None:
    table = cli.answer("route-table", "create", "private", "--vpc", "shop", "--subnet", "front")
    assert (table["vpc_id"], table["subnet_ids"]) == (vpc["id"], [subnet["id"]])
    assert cli.answer("route-table", "get", "private", "--vpc", "shop") == table
    assert cli.answer("route-table", "list") == cli.answer("route-table", "list", "--vpc", "shop") == [table]
    changed = cli.answer("route-table", "update", "private", "--no-subnets", "--name", "storage")
    assert (changed["name"], changed["subnet_ids"]) == ("storage", [])
    assert "nothing to change" in cli.error("route-table", "update", "storage", code=2)
    contradiction = ("--subnet", "front", "--no-subnets")
    assert "contradict each other" in cli.error("route-table", "update", "storage", *contradiction, code=2)
    assert cli.answer("route-table", "delete", "storage")["state"] == "deleted"
    gone = cli.error("route-table", "get", "storage", code=3)
    assert "route table storage is not there" in gone
    assert "`sidegate route-table list`" in gone


def test_an_endpoint_of_a_gateway_is_in_route_tables_and_holds_to_a_policy(
    cli: CommandLine, vpc: Any, tmp_path: Path
) -> None:
    more = ("--type", "gateway", "--servers", "cloud", "--prefix", "100.125.0.0/16", "--prefix", "100.126.0.10/32")
    service = cli.answer("service", "create", "s3", "--vpc", "shop", "--backend", "10.0.0.10", "--port", "443", *more)
    assert service["public_prefixes"] == ["100.125.0.0/16", "100.126.0.10/32"]
    tables = [cli.answer("route-table", "create", name, "--vpc", "shop") for name in ("private", "storage")]
    policy = '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "tcp/443"}]}'
    tmp_path.joinpath("policy.json").write_text(policy)
    said = ("--vpc", "shop", "--route-table", "private", "--policy", f"@{tmp_path}/policy.json", "--name", "to-s3")
    made = cli.answer("endpoint", "create", "--service", "s3", *said)
    assert (made["vpc_id"], made["subnet_id"], made["policy"]) == (vpc["id"], "", policy)
    assert made["route_tables"] == [tables[0]["id"]]
    changed = cli.answer("endpoint", "update", "to-s3", "--route-table", "storage", "--policy", "")
    assert (changed["route_tables"], changed["policy"]) == ([tables[1]["id"]], "")
    assert "cannot be read" in cli.error("endpoint", "update", "to-s3", "--policy", "@nowhere.json", code=2)
    assert "somewhere" in cli.error("endpoint", "create", "--service", "s3", code=2)


def test_a_port_is_created_shown_listed_and_deleted(cli: CommandLine, subnet: Any) -> None:
    port = cli.answer("port", "create", "--subnet", "front", "--holder", "machine/web", "--ip", "10.0.0.10")
    assert (port["subnet_id"], port["holder"], port["address"]) == (subnet["id"], "machine/web", "10.0.0.10")
    assert cli.answer("port", "create", "--subnet", "front", "--holder", "machine/x")["address"] == "10.0.0.2"
    assert cli.answer("port", "get", port["id"]) == port
    assert cli.answer("port", "list", "--subnet", "front")[0] == port
    assert cli.answer("port", "delete", port["id"]) == {"id": port["id"], "state": "deleted"}


def test_a_vpc_and_a_subnet_change_in_what_is_named(cli: CommandLine, vpc: Any, subnet: Any) -> None:
    changed = cli.answer("vpc", "update", vpc["id"], "--name", "store", "--tag", "team=web")
    assert (changed["name"], changed["tags"]) == ("store", [{"key": "team", "value": "web"}])
    assert changed["cidrs"] == vpc["cidrs"]
    more = ("--cidr", "10.0.0.0/16", "--cidr", "10.1.0.0/16", "--no-tags", "--description", "sold here")
    changed = cli.answer("vpc", "update", "store", *more)
    assert (changed["cidrs"], changed["tags"]) == (["10.0.0.0/16", "10.1.0.0/16"], [])
    other = cli.answer("subnet", "update", subnet["id"], "--name", "window", "--description", "glass")
    assert (other["name"], other["description"]) == ("window", "glass")
    for noun in ("vpc", "subnet"):
        assert "nothing to change" in cli.error(noun, "update", "x", code=2)


def test_default_attachments_are_set_listed_and_taken_away(cli: CommandLine) -> None:
    namespaces = cli.answer("attachment", "set-default", "--netns", "net-{vpc_id}", "--device", "eth1")
    assert (namespaces["cell"], namespaces["netns"]) == ("default", {"namespace": "net-{vpc_id}", "device": "eth1"})
    more = ("--remote", "192.0.2.10", "--mtu", "1400", "--cell", "west")
    segments = cli.answer("attachment", "set-default", "--vxlan", "100-199", *more)["vxlan"]
    assert (segments["first_vni"], segments["last_vni"], segments["mtu"]) == (100, 199, 1400)
    assert [each["cell"] for each in cli.answer("attachment", "list-defaults")] == ["default", "west"]
    listed = cli.run("attachment", "list-defaults").stdout
    assert "net-{vpc_id}/eth1" in listed
    assert "VXLAN 100-199 to 192.0.2.10" in listed
    assert cli.answer("attachment", "delete-default", "--cell", "west")["state"] == "deleted"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--netns", "a-{vpc_id}", "--vxlan", "1-2"),
        ("--vxlan", "5"),
        ("--vxlan", "1-2"),
        ("--netns", "a", "--mtu", "900"),
    ],
)
def test_a_default_attachment_that_is_none_is_a_usage_error(cli: CommandLine, options: tuple[str, ...]) -> None:
    assert cli.error("attachment", "set-default", *options, code=2)


def test_an_attachment_is_created_shown_listed_and_deleted(cli: CommandLine, vpc: Any) -> None:
    attachment = cli.answer("attachment", "create", "--vpc", vpc["id"], "--netns", "shop")
    assert attachment == {
        "id": attachment["id"],
        "vpc_id": vpc["id"],
        "cell": "",
        "netns": {"namespace": "shop", "device": ""},
        "create_time": None,
        "by_default": False,
    }
    more = ("--device", "eth1", "--cell", "west")
    other = cli.answer("attachment", "create", "--vpc", "shop", "--netns", "b", *more)
    assert (other["netns"]["device"], other["cell"]) == ("eth1", "west")
    assert cli.answer("attachment", "get", attachment["id"]) == attachment
    assert cli.answer("attachment", "list", "--vpc", "shop") == [attachment, other]
    assert cli.answer("attachment", "delete", attachment["id"])["state"] == "deleted"


@pytest.mark.parametrize(
    ("options", "target", "listed"),
    [
        (("--interface", "eth1"), {"name": "eth1"}, "eth1"),
        (("--interface", "02:AA:00:00:00:01"), {"mac": "02:AA:00:00:00:01"}, "02:AA:00:00:00:01"),
        (("--interface", "addr:10.1.0.5"), {"address": "10.1.0.5"}, "addr:10.1.0.5"),
        (
            ("--vxlan", "100", "--remote", "192.0.2.10", "--remote", "192.0.2.11"),
            {"vni": 100, "remotes": ["192.0.2.10", "192.0.2.11"], "port": 0, "local": "", "mtu": 0},
            "VXLAN 100 to 192.0.2.10, 192.0.2.11",
        ),
        (
            ("--vxlan", "7", "--remote", "192.0.2.10", "--local", "192.0.2.1", "--port", "4790", "--mtu", "1400"),
            {"vni": 7, "remotes": ["192.0.2.10"], "port": 4790, "local": "192.0.2.1", "mtu": 1400},
            "VXLAN 7 port 4790 from 192.0.2.1 to 192.0.2.10",
        ),
    ],
)
def test_a_vpc_is_attached_by_a_device_or_a_vxlan(
    cli: CommandLine, vpc: Any, options: tuple[str, ...], target: Any, listed: str
) -> None:
    attachment = cli.answer("attachment", "create", "--vpc", vpc["id"], *options)
    assert attachment[options[0].removeprefix("--")] == target
    assert "netns" not in attachment
    assert listed in cli.run("attachment", "list", "--vpc", "shop").stdout


@pytest.mark.parametrize(
    ("options", "complaint", "way_out"),
    [
        ((), "an attachment reaches one thing", "give one of --netns NAME, --vxlan VNI"),
        (("--netns", "a", "--interface", "b"), "an attachment reaches one thing", "give one of"),
        (("--vxlan", "0", "--remote", "192.0.2.10"), "Invalid value for '--vxlan'", "greater than or equal to 1"),
        (("--vxlan", "100"), "a VXLAN needs a remote host", "give --remote IP"),
        (("--vxlan", "100", "--remote", "there"), "'there' is no IPv4 address", "such as 192.0.2.10"),
        (("--interface", "addr:eth1"), "'eth1' is no IPv4 address", "such as 192.0.2.10"),
        (("--netns", "shop", "--remote", "192.0.2.10"), "--remote goes with --vxlan", "give one of"),
        (("--interface", "eth1", "--device", "eth2"), "--device goes with --netns", "give one of"),
    ],
)
def test_an_attachment_that_reaches_nothing_or_too_much_is_a_usage_error(
    cli: CommandLine, vpc: Any, options: tuple[str, ...], complaint: str, way_out: str
) -> None:
    refused = cli.run("attachment", "create", "--vpc", vpc["id"], *options)
    assert refused.exit_code == 2
    assert complaint in refused.stderr
    assert way_out in refused.stderr


def test_a_service_is_created_shown_and_listed(cli: CommandLine, service: Any) -> None:
    assert service["backends"] == [{"address": "10.0.0.10", "weight": 1, "draining": False, "port": ""}]
    (mapping,) = service["port_mappings"]
    assert (mapping["client_port"], mapping["server_port"], mapping["protocol"]) == (80, 8080, "tcp")
    assert (service["approval_required"], service["state"]) == (True, "available")
    assert cli.answer("service", "get", "web") == service
    assert cli.answer("service", "list") == [service]


def test_a_service_says_what_its_owner_says_of_it(cli: CommandLine, vpc: Any, service: Any) -> None:
    said = ("--description", "the window", "--tag", "team=web", "--tag", "old", "--client-identity", "proxy+marker")
    where = ("--vpc", "shop", "--backend", "10.0.0.2", "--port", "80")
    made = cli.answer("service", "create", "more", *where, *said, "--servers", "lb", "--type", "interface")
    assert (made["description"], made["client_identity"]) == ("the window", "proxyProtocolWithMarker")
    assert (made["server_type"], made["service_type"]) == ("lb", "interface")
    assert made["tags"] == [{"key": "team", "value": "web"}, {"key": "old", "value": ""}]
    assert "team=web, old=" in cli.text("service", "get", "more")
    changed = cli.answer("service", "update", "more", "--description", "", "--no-tags", "--client-identity", "none")
    assert (changed["description"], changed["tags"], changed["client_identity"]) == ("", [], "none")
    cli.error("service", "update", "more", "--tag", "a", "--no-tags", code=2)


def test_a_service_may_have_several_ports_and_backends(cli: CommandLine, vpc: Any, subnet: Any) -> None:
    port = cli.answer("port", "create", "--subnet", "front", "--holder", "machine/web")
    by_port = ("--backend-port", f"{port['id']}=3/draining")
    backends = ("--backend", "10.0.0.2", "--backend", "10.0.0.3=100", *by_port)
    ports = ("--port", "53/udp", "--port", "53", "--port", "80:8080")
    made = cli.answer("service", "create", "dns", "--vpc", "shop", *backends, *ports)
    assert made["backends"] == [
        {"address": "10.0.0.2", "weight": 1, "draining": False, "port": ""},
        {"address": "10.0.0.3", "weight": 100, "draining": False, "port": ""},
        {"port_id": port["id"], "weight": 3, "draining": True, "port": ""},
    ]
    assert f"10.0.0.2, 10.0.0.3=100, port {port['id']}=3/draining" in cli.text("service", "list")
    assert [(each["client_port"], each["server_port"], each["protocol"]) for each in made["port_mappings"]] == [
        (53, 53, "udp"),
        (53, 53, "tcp"),
        (80, 8080, "tcp"),
    ]
    assert made["approval_required"] is False


def test_a_service_changes_in_what_is_named(cli: CommandLine, service: Any) -> None:
    moved = cli.answer("service", "update", "web", "--backend", "10.0.0.11", "--backend", "10.0.0.12")
    assert [each["address"] for each in moved["backends"]] == ["10.0.0.11", "10.0.0.12"]
    assert moved["port_mappings"] == service["port_mappings"]
    assert cli.answer("service", "update", "web", "--port", "443")["port_mappings"][0]["client_port"] == 443
    assert cli.answer("service", "update", "web", "--no-approval")["approval_required"] is False
    assert cli.answer("service", "update", "web", "--approval")["approval_required"] is True


def test_backends_are_drained_undrained_and_weighed_each_by_its_address(cli: CommandLine, service: Any) -> None:
    cli.answer("service", "update", "web", "--backend", "10.0.0.11=3", "--backend", "10.0.0.12/draining")
    drained = cli.answer("service", "drain", "web", "10.0.0.11")
    assert [(each["weight"], each["draining"]) for each in drained["backends"]] == [(3, True), (1, True)]
    assert "10.0.0.11=3/draining, 10.0.0.12/draining" in cli.text("service", "get", "web")
    assert cli.answer("service", "drain", "web", "10.0.0.11") == drained
    undrained = cli.answer("service", "undrain", "web", "10.0.0.11", "10.0.0.12")
    assert [(each["weight"], each["draining"]) for each in undrained["backends"]] == [(3, False), (1, False)]
    weighed = cli.answer("service", "weigh", "web", "10.0.0.12=90", "10.0.0.11=10")
    assert [(each["address"], each["weight"]) for each in weighed["backends"]] == [
        ("10.0.0.11", 10),
        ("10.0.0.12", 90),
    ]
    assert "service web has no backend 10.0.0.99" in cli.error("service", "drain", "web", "10.0.0.99", code=3)


def test_accounts_are_permitted_and_forbidden(cli: CommandLine, service: Any) -> None:
    permitted = cli.answer("service", "permit", service["id"], "iam:domain::a", "iam:domain::b")
    assert permitted["permissions"] == ["iam:domain::a", "iam:domain::b"]
    assert cli.answer("service", "forbid", "web", "iam:domain::a")["permissions"] == ["iam:domain::b"]


@pytest.mark.parametrize("key", ["id", "full_name", "name"])
def test_a_service_is_looked_up_by_id_full_name_or_own_name(cli: CommandLine, service: Any, key: str) -> None:
    found = cli.answer("service", "lookup", service[key])
    assert found["full_name"] == service["full_name"]
    (mapping,) = found["port_mappings"]
    assert (mapping["client_port"], mapping["server_port"], mapping["protocol"]) == (80, 0, "tcp")
    assert "80/tcp" in cli.text("service", "lookup", service[key])


def test_the_platforms_services_are_listed_for_everybody(cli: CommandLine, service: Any) -> None:
    where = ("--vpc", service["vpc_id"], "--backend", "10.0.0.53", "--port", "53:53/udp", "--servers", "cloud")
    made = [cli.answer("service", "create", name, *where) for name in ("names", "time", "objects")]
    listed = cli.answer("service", "list-platform")
    assert [each["full_name"] for each in listed] == [each["full_name"] for each in made], "page after page"
    assert cli.answer("service", "list-platform", "--name-contains", "time") == [listed[1]]
    assert "names" in cli.text("service", "list-platform")


def test_lists_take_states_by_their_words(fake: FakeSidegate, cli: CommandLine, service: Any, endpoint: Any) -> None:
    assert cli.answer("service", "list", "--state", "available", "--newest-first", "--name-contains", "WE") == [service]
    services = fake.registry.listed
    found = cli.answer("endpoint", "list", "--state", "pendingAcceptance", "--service", "web", "--newest-first")
    assert [each["id"] for each in found] == [endpoint["id"]]
    cli.answer("connection", "list", "web", "--state", "accepted", "--newest-first")
    asked = services, fake.endpoints.listed, fake.connections.listed
    assert [each.newest_first for each in asked] == [True, True, True]
    assert list(services.states) == [EndpointService.STATE_AVAILABLE]
    assert list(fake.endpoints.listed.states) == [endpoint_pb2.CONNECTION_STATE_PENDING_ACCEPTANCE]
    assert fake.endpoints.listed.service_id == service["id"]
    cli.error("endpoint", "list", "--state", "gone", code=2)


def test_a_service_may_decide_by_rules(cli: CommandLine, service: Any) -> None:
    rules = ("--accept-account", "shop", "--accept-tag", "team=web", "--expire-pending", "60", "--accept-for", "3600")
    changed = cli.answer("service", "update", "web", *rules)
    assert changed["approval_rules"] == {
        "accept_accounts": ["shop"],
        "accept_tags": [{"key": "team", "value": "web"}],
        "pending_seconds": 60,
        "accepted_seconds": 3600,
    }
    said = "accept shop, team=web; requests wait 60 s; accepted for 3600 s"
    assert said in cli.text("service", "get", "web")
    bounded = cli.answer("service", "update", "web", "--account-endpoints", "3")
    assert bounded["consumer_limits"]["endpoints_per_account"] == 3
    assert "endpoints per account: 3" in cli.text("service", "get", "web")
    assert cli.answer("service", "update", "web", "--no-rules")["approval_rules"]["accept_accounts"] == []


def test_a_service_says_how_its_sessions_are_kept_and_its_backends_asked(cli: CommandLine, vpc: Any) -> None:
    where = ("--vpc", "shop", "--backend", "10.0.0.2", "--port", "80")
    plain = cli.answer("service", "create", "plain", *where)
    assert (plain["session_settings"], plain["health_check"], plain["consumer_limits"]) == (None, None, None)
    said = cli.text("service", "get", "plain")
    assert "tcp idle 350 s, half-open 30 s, closed 10 s; udp idle 120 s, one-way 30 s" in said
    idle = ("--idle-tcp", "10m", "--idle-half-open", "20", "--idle-closed", "5s", "--idle-udp", "1h")
    more = ("--idle-udp-one-way", "15s", "--affinity", "source-address", "--reset-expired")
    check = ("--health-check", "http:8080/healthz", "--health-status", "200-299", "--health-interval", "10s")
    after = ("--health-timeout", "3s", "--healthy-after", "1", "--unhealthy-after", "4")
    limits = ("--connections", "10k", "--new-connections", "200", "--bits", "100M")
    made = cli.answer("service", "create", "api", *where, *idle, *more, *check, *after, *limits)
    assert made["session_settings"] == {
        "tcp_established_seconds": 600,
        "tcp_half_open_seconds": 20,
        "tcp_closed_seconds": 5,
        "udp_two_way_seconds": 3600,
        "udp_one_way_seconds": 15,
        "affinity": "sourceAddress",
        "reset_expired": True,
    }
    assert made["health_check"] == {
        "protocol": "http",
        "port": 8080,
        "path": "/healthz",
        "first_status": 200,
        "last_status": 299,
        "interval_seconds": 10,
        "timeout_seconds": 3,
        "healthy_after": 1,
        "unhealthy_after": 4,
    }
    assert made["consumer_limits"] == {
        "endpoints_per_account": 0,
        "connections": 10_000,
        "new_connections_per_second": 200,
        "bits_per_second": 100_000_000,
    }
    said = cli.text("service", "get", "api")
    assert "tcp idle 600 s, half-open 20 s, closed 5 s; udp idle 3600 s, one-way 15 s; affinity source-address" in said
    assert "expired ones are reset" in said
    assert "http:8080/healthz is 200-299 every 10 s, within 3 s; well after 1, not after 4" in said
    assert "connections: 10000, new connections per second: 200, bits per second: 100000000" in said


def test_an_update_changes_what_a_service_asks_option_by_option(cli: CommandLine, service: Any) -> None:
    def updated(*options: str) -> Any:
        return cli.answer("service", "update", "web", *options)

    updated(
        "--idle-tcp", "10m", "--connections", "5000", "--health-check", "http:8080/healthz", "--health-interval", "9"
    )
    changed = updated("--affinity", "source-address", "--bits", "1G", "--health-status", "204", "--description", "more")
    assert changed["description"] == "more"
    asked, limits, check = changed["session_settings"], changed["consumer_limits"], changed["health_check"]
    assert (asked["tcp_established_seconds"], asked["affinity"]) == (600, "sourceAddress")
    assert (limits["connections"], limits["bits_per_second"]) == (5000, 1_000_000_000)
    assert (check["path"], check["interval_seconds"]) == ("/healthz", 9)
    assert (check["first_status"], check["last_status"]) == (204, 204)
    by_tcp = updated("--health-check", "tcp:22", "--idle-tcp", "0", "--affinity", "none", "--connections", "0")
    check = by_tcp["health_check"]
    assert (check["protocol"], check["port"], check["path"], check["first_status"]) == ("tcp", 22, "", 0)
    assert check["interval_seconds"] == 9
    assert "tcp:22 accepts every 9 s" in cli.text("service", "get", "web")
    assert (by_tcp["session_settings"]["tcp_established_seconds"], by_tcp["consumer_limits"]["connections"]) == (0, 0)
    assert by_tcp["consumer_limits"]["bits_per_second"] == 1_000_000_000
    gone = updated("--no-health-check", "--reset-expired")
    assert (gone["health_check"], gone["session_settings"]["reset_expired"]) == (None, True)
    assert updated("--no-health-check")["health_check"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--idle-tcp", "ten"), "'ten' is no length of time: 30s, 10m or 1h"),
        (("--affinity", "client"), "source-address"),
        (("--health-check", "icmp"), "'icmp' is no health check: tcp, tcp:8080, http:8080/healthz"),
        (("--health-check", "http:8080healthz"), "is no health check"),
        (("--health-check", "tcp/healthz"), "only http asks for a path"),
        (("--health-check", "tcp:65536"), "ports go from 1 to 65535"),
        (("--health-check", "tcp", "--health-status", "ok"), "'ok' is no range of statuses: 200-399, or 204"),
        (("--health-check", "tcp", "--healthy-after", "11"), "--healthy-after"),
        (("--health-interval", "5s"), "give --health-check, such as --health-check http:8080/healthz"),
        (("--no-health-check", "--health-interval", "5s"), "--no-health-check leaves nothing to be said of it"),
        (("--connections", "-1"), "'-1' is no number: 5000, 100M or 10G"),
        (("--bits", "100 Mbit"), "'100 Mbit' is no number"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(
    cli: CommandLine, service: Any, options: tuple[str, ...], words: str
) -> None:
    assert words in " ".join(cli.error("service", "update", "web", *options, code=2).split())


def test_a_permission_may_have_a_description_and_take_its_connections_with_it(
    fake: FakeSidegate, cli: CommandLine, service: Any
) -> None:
    cli.answer("service", "permit", "web", "iam:domain::more", "--description", "the new shop")
    assert "iam:domain::more (the new shop)" in cli.text("service", "get", "web")
    cli.answer("service", "forbid", "web", "iam:domain::more")
    assert fake.registry.ended == []
    cli.answer("service", "forbid", "web", "iam:domain::more", "--end-connections")
    assert fake.registry.ended == ["iam:domain::more"]


def test_a_service_is_deleted_by_force_only_when_asked_to(fake: FakeSidegate, cli: CommandLine, service: Any) -> None:
    assert cli.answer("service", "delete", "web")["state"] == "deleted"
    assert fake.registry.forced == []
    cli.answer("service", "delete", "web", "--force")
    assert fake.registry.forced == [service["id"]]


def test_an_endpoint_is_requested_shown_and_listed(cli: CommandLine, endpoint: Any, service: Any, subnet: Any) -> None:
    assert (endpoint["state"], endpoint["name"], endpoint["address"]) == ("pendingAcceptance", "to-web", "10.0.0.3")
    assert (endpoint["service"], endpoint["subnet_id"]) == (service["full_name"], subnet["id"])
    assert endpoint["marker_id"] == 2**53 - 1
    assert endpoint["ready"] is None
    assert cli.answer("endpoint", "get", "to-web") == endpoint
    assert cli.answer("endpoint", "list") == [endpoint]


def test_an_endpoint_has_the_address_and_whitelist_that_were_asked_for(
    cli: CommandLine, service: Any, subnet: Any
) -> None:
    more = ("--ip", "10.0.0.20", "--allow", "10.0.0.0/28", "--allow", "10.0.0.64/28")
    made = cli.answer("endpoint", "create", "--service", "web", "--subnet", "front", *more)
    assert (made["address"], made["allowed_cidrs"]) == ("10.0.0.20", ["10.0.0.0/28", "10.0.0.64/28"])
    assert made["service"] == service["id"]


def test_an_endpoint_says_what_its_owner_says_of_it(cli: CommandLine, service: Any, subnet: Any) -> None:
    said = ("--description", "mine", "--tag", "team=shop", "--whitelist", "--policy", '{"a": 1}', "--dns")
    made = cli.answer("endpoint", "create", "--service", "web", "--subnet", "front", "--name", "more", *said)
    assert (made["description"], made["whitelist"], made["policy"]) == ("mine", "enabled", '{"a": 1}')
    assert (made["tags"], made["dns_enabled"]) == ([{"key": "team", "value": "shop"}], True)
    changed = cli.answer("endpoint", "update", "more", "--no-whitelist", "--policy", "", "--no-dns", "--tag", "x=y")
    assert (changed["whitelist"], changed["policy"], changed["dns_enabled"]) == ("disabled", "", False)
    assert (changed["description"], changed["tags"]) == ("mine", [{"key": "x", "value": "y"}])


def test_an_endpoint_changes_in_what_is_named(cli: CommandLine, endpoint: Any) -> None:
    narrowed = cli.answer("endpoint", "update", "to-web", "--allow", "10.0.0.0/28")
    assert (narrowed["allowed_cidrs"], narrowed["name"]) == (["10.0.0.0/28"], "to-web")
    assert cli.answer("endpoint", "update", "to-web", "--name", "other")["allowed_cidrs"] == ["10.0.0.0/28"]
    assert cli.answer("endpoint", "update", "other", "--allow-everybody")["allowed_cidrs"] == []
    assert cli.answer("endpoint", "update", endpoint["id"], "--name", "")["name"] == ""


def test_an_endpoint_is_deleted(cli: CommandLine, endpoint: Any) -> None:
    assert cli.answer("endpoint", "delete", "to-web")["state"] == "deleting"


def test_connections_are_listed_shown_accepted_and_rejected(
    fake: FakeSidegate, cli: CommandLine, service: Any, subnet: Any
) -> None:
    made = cli.answer("endpoint", "create", "--service", "web", "--subnet", "front")
    (connection,) = cli.answer("connection", "list", "web")
    assert connection == {
        "endpoint_id": made["id"],
        "service_id": service["id"],
        "account": "shop",
        "marker_id": made["marker_id"],
        "state": "pendingAcceptance",
        "create_time": None,
        "update_time": None,
        "note": "",
        "rejection": "",
        "expire_time": None,
        "drain_end_time": None,
        "etag": "",
    }
    assert cli.answer("connection", "get", "web", made["id"][:8]) == connection
    assert cli.answer("connection", "accept", "web", made["id"])["state"] == "creating"
    assert cli.answer("connection", "reject", service["id"], made["id"])["state"] == "rejected"
    assert cli.answer("connection", "note", "web", made["id"], "ticket 4711")["note"] == "ticket 4711"
    assert len(set(fake.connections.request_ids)) == 3


@pytest.mark.usefixtures("service", "subnet")
def test_many_connections_are_decided_at_once_and_what_was_refused_is_told(
    fake: FakeSidegate, cli: CommandLine
) -> None:
    first, second = (
        cli.answer("endpoint", "create", "--service", "web", "--subnet", "front", "--name", name) for name in "ab"
    )
    ids = (first["id"], second["id"], first["id"])
    accepted = cli.answer("connection", "accept-all", "web", *ids)
    assert [(each["endpoint_id"], each["connection"]["state"]) for each in accepted] == [
        (first["id"], "creating"),
        (second["id"], "creating"),
    ]
    (failed,) = (each for each in fake.endpoints.endpoints.values() if each.id == first["id"])
    failed.state = endpoint_pb2.CONNECTION_STATE_FAILED
    told = cli.answer("connection", "reject-all", "web", *ids, code=4)
    assert [each["reason"] for each in told] == ["WRONG_STATE", ""]
    assert told[1]["connection"]["state"] == "rejected"


ACCEPTED, REJECTED = endpoint_pb2.CONNECTION_STATE_ACCEPTED, endpoint_pb2.CONNECTION_STATE_REJECTED
DELETED, FAILED = endpoint_pb2.CONNECTION_STATE_DELETED, endpoint_pb2.CONNECTION_STATE_FAILED


@pytest.mark.usefixtures("service", "subnet")
@pytest.mark.parametrize(
    ("turns", "state", "code"), [(ACCEPTED, "accepted", 0), (REJECTED, "rejected", 1), (FAILED, "failed", 1)]
)
def test_waiting_for_an_endpoint_tells_what_became_of_it(
    fake: FakeSidegate, cli: CommandLine, turns: endpoint_pb2.ConnectionState.ValueType, state: str, code: int
) -> None:
    fake.endpoints.after = turns
    made = ("endpoint", "create", "--service", "web", "--subnet", "front", "--wait")
    assert cli.answer(*made, code=code)["state"] == state


def test_waiting_in_vain_names_the_endpoint_its_state_and_the_way_out(
    fake: FakeSidegate, cli: CommandLine, service: Any, subnet: Any
) -> None:
    waiting = ("--wait", "--timeout", "0.2")
    said = cli.error("endpoint", "create", "--service", "web", "--subnet", "front", *waiting, code=5)
    (made,) = fake.endpoints.endpoints
    assert f"endpoint {made} is still pendingAcceptance after 0.2 s" in said
    assert "hint: the service's owner decides: sidegate connection accept" in said


def test_waiting_for_a_connection_ends_when_packets_pass(fake: FakeSidegate, cli: CommandLine, endpoint: Any) -> None:
    fake.endpoints.after = ACCEPTED
    accepted = cli.answer("connection", "accept", endpoint["service"].rpartition(".")[2], endpoint["id"], "--wait")
    assert accepted["state"] == "accepted"


def test_waiting_for_a_rejection_ends_at_once(fake: FakeSidegate, cli: CommandLine, endpoint: Any) -> None:
    service = endpoint["service"].rpartition(".")[2]
    assert cli.answer("connection", "reject", service, endpoint["id"], "--wait")["state"] == "rejected"


def test_waiting_for_a_deletion_ends_when_the_endpoint_says_so(
    fake: FakeSidegate, cli: CommandLine, endpoint: Any
) -> None:
    fake.endpoints.after = DELETED
    assert cli.answer("endpoint", "delete", "to-web", "--wait")["state"] == "deleted"


def test_waiting_for_a_deletion_ends_when_the_endpoint_is_not_there(
    fake: FakeSidegate, cli: CommandLine, endpoint: Any
) -> None:
    fake.endpoints.forgets = True
    assert cli.answer("endpoint", "delete", "to-web", "--wait") == {"id": endpoint["id"], "state": "deleted"}


@pytest.mark.parametrize(
    ("said", "seconds"), [((), 0), (("--drain", "30"), 30), (("--drain", "10m"), 600), (("--drain", "1h"), 3600)]
)
def test_how_long_sessions_drain_is_told_where_it_is_given(
    fake: FakeSidegate, cli: CommandLine, endpoint: Any, said: tuple[str, ...], seconds: int
) -> None:
    service = endpoint["service"].rpartition(".")[2]
    cli.answer("connection", "reject", service, endpoint["id"], *said)
    cli.answer("connection", "reject-all", service, endpoint["id"], *said)
    cli.answer("endpoint", "delete", endpoint["id"], *said)
    assert fake.endpoints.drains == [seconds] * 3


@pytest.mark.parametrize("said", ["soon", "2h", "3601", "-1", "1d"])
def test_a_time_that_sessions_cannot_drain_for_is_refused(cli: CommandLine, endpoint: Any, said: str) -> None:
    assert "--drain" in cli.error("endpoint", "delete", endpoint["id"], "--drain", said, code=2)


def test_the_options_before_the_noun_say_who_asks_and_how_to_print(fake: FakeSidegate, cli: CommandLine) -> None:
    done = cli.run("--account", "shop", "--project", "front", "-o", "json", "vpc", "list")
    assert done.stdout == "[]\n"
    metadata = fake.script.calls[-1].metadata
    assert (metadata["sidegate-account"], metadata["sidegate-project"]) == ("shop", "front")


def test_without_a_word_a_command_is_for_whom_the_credential_is(fake: FakeSidegate, cli: CommandLine) -> None:
    cli.run("vpc", "list")
    metadata = fake.script.calls[-1].metadata
    assert metadata["authorization"] == f"Bearer {fake.tokens.issued[-1]}"
    assert not [key for key in metadata if key.startswith("sidegate-")]


def test_the_environment_says_who_asks_and_where(fake: FakeSidegate, cli: CommandLine) -> None:
    environment = {
        "SIDEGATE_CONFIG": str(fake.ready_file),
        "SIDEGATE_ACCOUNT": "shop",
        "SIDEGATE_PROJECT": "front",
    }
    assert cli.run("vpc", "list", environment=environment).exit_code == 0
    metadata = fake.script.calls[-1].metadata
    assert (metadata["sidegate-account"], metadata["sidegate-project"]) == ("shop", "front")
