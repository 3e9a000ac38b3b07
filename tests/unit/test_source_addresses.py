"""Which source addresses an endpoint gets, how many more, and what is remembered of those that lack some."""

import pytest

from services.common.errors import QuotaReached
from services.endpoint.domain.demand import Demand, Place, Shortage
from services.endpoint.domain.source_addresses import FIRST, KEPT, MOST, SIZE, derived, growth, leases, more

ENDPOINT = "5b0c6a52-0b56-4f1e-9d1c-8f4d0c0a7e01"
PLACE = Place(ENDPOINT, "gw-1")
WHOLE = {str(FIRST + number) for number in range(SIZE)}


@pytest.mark.parametrize(
    ("held", "wanted", "given"),
    [(1, 0, 0), (1, 1, 0), (1, 2, 1), (1, 64, 1), (2, 3, 1), (2, 64, 2), (32, 128, 32), (48, 128, 16), (64, 128, 0)],
)
def test_a_gateway_is_given_at_most_as_many_as_it_has_and_64_in_all(held: int, wanted: int, given: int) -> None:
    assert growth(held, wanted) == given


def test_a_gateway_without_any_waits_for_its_first() -> None:
    assert growth(0, 8) == 0


def test_more_addresses_are_free_ones_each_once() -> None:
    (first,) = leases(ENDPOINT, ["gw-1"], ())
    found = more(ENDPOINT, "gw-1", MOST - 1, {str(first.address)})
    assert len({lease.address for lease in found} | {first.address}) == MOST
    assert {lease.gateway for lease in found} == {"gw-1"}
    assert {str(lease.address) for lease in found} <= WHOLE


def test_no_endpoint_grows_into_the_addresses_that_are_kept_for_others() -> None:
    taken = {str(FIRST + number) for number in range(SIZE - KEPT - 3)}
    assert len(more(ENDPOINT, "gw-1", 32, taken)) == 3
    assert more(ENDPOINT, "gw-1", 32, {*taken, *(str(FIRST + SIZE - KEPT - number) for number in (1, 2, 3))}) == ()
    assert len(leases(ENDPOINT, ["gw-1"], taken)) == 1


def test_the_last_free_address_is_found_wherever_it_is() -> None:
    free = str(FIRST + (derived(ENDPOINT, "gw-1") - 1) % SIZE)
    assert [str(lease.address) for lease in leases(ENDPOINT, ["gw-1"], WHOLE - {free})] == [free]
    with pytest.raises(QuotaReached, match="none is free"):
        leases(ENDPOINT, ["gw-1", "gw-2"], WHOLE - {free})


def test_what_a_gateway_wants_is_looked_at_once_and_again_when_it_wants_another_number() -> None:
    demand = Demand()
    assert demand.note(PLACE, 2, 10)
    assert demand.short(PLACE, Shortage.NONE_FREE)
    assert not demand.short(PLACE, Shortage.NONE_FREE), "it is said once"
    assert not demand.note(PLACE, 2, 20)
    assert demand.note(PLACE, 4, 30)
    want = demand.of(PLACE)
    assert want is not None
    assert (want.number, want.since, want.shortage) == (4, 10, Shortage.UNDER_WAY)


def test_what_is_given_is_wanted_no_more() -> None:
    demand = Demand()
    demand.note(PLACE, 2, 10)
    demand.given(PLACE, 1)
    assert (demand.of(PLACE), demand.added, demand.worst(ENDPOINT)) == (None, 1, None)
    demand.note(PLACE, 4, 10)
    demand.note(PLACE, 0, 20)
    assert demand.counts() == {}


def test_of_several_gateways_the_one_that_cannot_be_helped_is_told_of() -> None:
    demand, other = Demand(), Place(ENDPOINT, "gw-2")
    demand.note(other, 2, 5)
    demand.note(PLACE, 2, 10)
    demand.short(PLACE, Shortage.NONE_FREE)
    worst = demand.worst(ENDPOINT)
    assert worst is not None
    assert worst.shortage is Shortage.NONE_FREE
    assert demand.counts() == {Shortage.NONE_FREE: 1, Shortage.UNDER_WAY: 1}
    assert demand.lacking(Shortage.NONE_FREE) == (PLACE,)
    demand.forget_gateway("gw-1")
    assert demand.lacking(Shortage.UNDER_WAY) == (other,)
    demand.forget_endpoint(ENDPOINT)
    assert demand.worst(ENDPOINT) is None
