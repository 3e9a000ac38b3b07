"""What HAProxy is told: a configuration that no endpoint changes, and a map with a line for each."""

from dataclasses import replace
from ipaddress import ip_address

from services.gateway_agent.annexes import Proxied
from services.gateway_agent.proxy_config import SOURCES, Process, configuration, map_lines
from services.gateway_agent.table import Affinity, Timeouts

PROCESS = Process(1000, 2, 103, 104)
ONE = Proxied("3e428a55-2848-45c1-a30f-ccce9485e15d", 7, "a-vpc", ip_address("10.0.0.100"), (443,))
OTHER = replace(ONE, endpoint="4e428a55-2848-45c1-a30f-ccce9485e15d", marker=8, address=ip_address("10.0.0.101"))
SIX = replace(ONE, address=ip_address("fd00:a::100"))


def test_the_configuration_is_the_same_for_whatever_endpoints_have_these_ports_and_settings() -> None:
    assert configuration([ONE], PROCESS) == configuration([OTHER, ONE], PROCESS)
    assert ONE.endpoint not in configuration([ONE], PROCESS)
    assert str(ONE.address) not in configuration([ONE], PROCESS)


def test_another_port_and_other_idle_times_make_another_one() -> None:
    more = replace(ONE, ports=(443, 25)), replace(ONE, timeouts=Timeouts(tcp_established=600)), SIX
    assert len({configuration([each], PROCESS) for each in (ONE, *more)}) == 4
    assert "bind 0.0.0.0:25 transparent" in configuration([more[0]], PROCESS)
    assert "timeout tunnel 600s" in configuration([more[1]], PROCESS)
    assert "bind [::]:443 transparent v6only" in configuration([SIX], PROCESS)
    assert "::" not in configuration([ONE], PROCESS), "a machine without IPv6 can run it"


def test_whoever_is_not_in_the_map_is_refused_and_nothing_is_logged() -> None:
    told = configuration([ONE], PROCESS)
    assert "tcp-request connection reject unless { dst,map_ip(endpoints.map) -m found }" in told
    assert "log" not in told
    assert "check" not in told, "health is the gateway's to ask for"


def test_a_line_of_the_map_says_how_connections_are_kept_and_what_backends_are_told() -> None:
    assert map_lines([OTHER, ONE]) == [
        f"10.0.0.100 v4-none-350-30-10|marker=7;endpoint={ONE.endpoint};vpc=a-vpc",
        f"10.0.0.101 v4-none-350-30-10|marker=8;endpoint={OTHER.endpoint};vpc=a-vpc",
    ]


def test_where_clients_keep_their_backend_the_proxy_comes_from_many_addresses() -> None:
    for each in (ONE, SIX):
        told = configuration([replace(each, affinity=Affinity.SOURCE_ADDRESS)], PROCESS)
        assert told.count(" source ") == SOURCES
        assert "balance source" in told


def test_limits_that_haproxy_cannot_count_are_cut() -> None:
    forever = replace(ONE, timeouts=Timeouts(tcp_established=2**31 - 1))
    assert "timeout tunnel 2000000s" in configuration([forever], PROCESS)
