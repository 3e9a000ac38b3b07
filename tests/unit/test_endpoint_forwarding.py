"""Entries of a cell besides endpoints, the digest of all, and source addresses."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import QuotaReached
from services.common.forwarding_digest import digest, line
from services.common.service_settings import HealthCheck, SessionSettings
from services.endpoint.domain import source_addresses
from services.endpoint.domain.forwarding import (
    ATTACHMENT,
    SERVICE,
    AttachmentForwarded,
    Backend,
    ForwardService,
    PortMapping,
    Protocol,
    ReachVpc,
    RegistryLog,
    RemoveService,
    ServiceCommand,
    ServiceForwarded,
    ServiceRemoved,
    Unused,
)
from services.endpoint.domain.targets import Netns

SERVICE_2 = ServiceForwarded(
    "default", "web", 2, "payments", (Backend(IPv4Address("10.0.0.10")),), (PortMapping(80, 8080, Protocol.TCP),)
)


def version(number: int) -> ServiceForwarded:
    return replace(SERVICE_2, version=number, backends=(Backend(IPv4Address("10.0.0.0") + number),))


def told(commands: Sequence[ServiceCommand]) -> ServiceForwarded | ServiceRemoved | Unused:
    state: ServiceForwarded | ServiceRemoved | Unused = Unused()
    for command in commands:
        state = SERVICE.fold(SERVICE.decide(command, state), state)
    return state


@given(st.lists(st.integers(1, 9), min_size=1))
def test_a_service_is_as_its_newest_version_whatever_the_order(versions: list[int]) -> None:
    assert told([ForwardService(version(each)) for each in versions]) == version(max(versions))


@given(st.lists(st.integers(1, 9), min_size=1), st.lists(st.integers(1, 9)))
def test_a_service_that_is_gone_never_comes_back(before: list[int], after: list[int]) -> None:
    commands: list[ServiceCommand] = [ForwardService(version(each)) for each in before]
    gone = told([*commands, RemoveService()])
    assert gone == ServiceRemoved("default", "web", max(before) + 1)
    late = [ForwardService(version(each)) for each in after]
    assert told([*commands, RemoveService(), *late, RemoveService()]) == gone


LOG, RESTORED = RegistryLog("log", 1), RegistryLog("log", 2)


def test_a_restored_registry_is_believed_though_its_versions_are_older() -> None:
    newest = replace(version(7), log=LOG)
    back = replace(version(3), log=RESTORED)
    assert told([ForwardService(newest), ForwardService(back)]) == replace(back, version=8, ahead=5)
    edited = replace(version(4), log=RESTORED)
    commands = [ForwardService(newest), ForwardService(back), ForwardService(edited)]
    assert told(commands) == replace(edited, version=9, ahead=5)
    late = replace(version(9), log=LOG)
    assert told([*commands, ForwardService(late), ForwardService(back)]) == told(commands)


def test_a_service_that_was_deleted_comes_back_only_with_a_restored_registry() -> None:
    before: list[ServiceCommand] = [ForwardService(replace(version(2), log=LOG)), RemoveService(LOG)]
    assert isinstance(told([*before, ForwardService(replace(version(9), log=LOG))]), ServiceRemoved)
    back = replace(version(2), log=RESTORED)
    assert told([*before, ForwardService(back)]) == replace(back, version=4, ahead=2)


def test_what_an_earlier_program_did_not_understand_of_a_version_is_told_by_a_later_one() -> None:
    """The registry was renewed first: of the same version there is more to tell than cells were told."""
    plain = replace(version(3), log=LOG)
    whole = replace(plain, session_settings=SessionSettings(udp_one_way=5), health_check=HealthCheck(port=8080))
    before: list[ServiceCommand] = [ForwardService(plain)]
    assert told([*before, ForwardService(whole)]) == replace(whole, version=4, ahead=1)
    assert told([*before, ForwardService(whole), ForwardService(whole)]) == replace(whole, version=4, ahead=1)
    assert told([*before, ForwardService(replace(whole, version=2))]) == plain
    edited = replace(version(4), log=LOG)
    assert told([*before, ForwardService(whole), ForwardService(edited)]) == replace(edited, version=5, ahead=1)


def test_the_removal_of_a_service_that_no_gateway_knows_is_nothing() -> None:
    assert SERVICE.decide(RemoveService(), Unused()) == []


@given(st.lists(st.sampled_from([None, Netns("shop", "sidegate0"), Netns("other", "sidegate0")])))
def test_an_attachment_is_as_last_told_and_its_version_counts_its_changes(targets: list[Netns | None]) -> None:
    state = ATTACHMENT.initial
    changes, before = 0, None
    for target in targets:
        state = ATTACHMENT.fold(ATTACHMENT.decide(ReachVpc("default", "shop", target), state), state)
        changes, before = changes + (target != before), target
        assert state == (AttachmentForwarded("default", "shop", changes, target) if changes else Unused())


def test_a_digest_is_of_the_sorted_lines() -> None:
    lines = [line("service", "b", 2), line("endpoint", "a", 10), line("endpoint", "a", 9)]
    expected = sha256(b"endpoint a 10\nendpoint a 9\nservice b 2\n").digest()
    assert digest(lines) == digest(reversed(lines)) == expected
    assert digest([]) == sha256(b"").digest()


RANGE = IPv4Network("198.19.128.0/17")


@given(st.uuids(), st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=8))
def test_each_gateway_gets_an_address_of_its_own_inside_the_range(endpoint: object, gateways: set[str]) -> None:
    found = source_addresses.leases(str(endpoint), gateways, ())
    assert {lease.gateway for lease in found} == gateways
    assert len({lease.address for lease in found}) == len(gateways)
    for lease in found:
        assert lease.address in RANGE
        assert lease.address not in (RANGE.network_address, RANGE.broadcast_address)


@given(st.uuids(), st.data())
def test_taken_addresses_are_not_given_again(endpoint: object, data: st.DataObject) -> None:
    start = source_addresses.derived(str(endpoint), "gw-1")
    steps = data.draw(st.sets(st.integers(0, 20)))
    taken = {str(source_addresses.FIRST + (start + step) % source_addresses.SIZE) for step in steps}
    (lease,) = source_addresses.leases(str(endpoint), ["gw-1"], taken)
    assert str(lease.address) not in taken


def test_a_full_range_is_said_to_be_full_in_words_that_name_no_network() -> None:
    everything = {str(source_addresses.FIRST + step) for step in range(source_addresses.SIZE)}
    with pytest.raises(QuotaReached) as refused:
        source_addresses.leases("endpoint", ["gw-1"], everything)
    assert "198" not in refused.value.text
    last = source_addresses.FIRST + 77
    (lease,) = source_addresses.leases("endpoint", ["gw-1"], everything - {str(last)})
    assert lease.address == last


def test_the_range_is_what_is_reserved_for_source_addresses() -> None:
    assert RANGE.network_address + 1 == source_addresses.FIRST
    assert RANGE.broadcast_address == source_addresses.FIRST + source_addresses.SIZE
