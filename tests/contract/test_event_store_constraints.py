"""What every event store promises across streams: claims, requirements and counters hold however many race."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.store import (
    AlreadyClaimed,
    Appended,
    Claim,
    Conflict,
    Constraints,
    Count,
    Exact,
    LimitReached,
    NotClaimed,
    RecordedEvent,
)
from tests.support.stores import STORES, Store, a_request, an_append, whole_log

ADDRESS = Claim("address", "subnet-1/10.0.0.10")
OTHER = Claim("address", "subnet-1/10.0.0.11")


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


async def constrain(store: Store, stream: str, constraints: Constraints) -> Appended:
    return await store.append(an_append(stream, constraints=constraints))


def counted(delta: int, limit: int | None = None) -> Constraints:
    return Constraints(counts=(Count("endpoints", "shop", delta, limit),))


async def test_a_claim_has_one_holder(store: Store) -> None:
    await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS,)))
    with pytest.raises(AlreadyClaimed) as refusal:
        await constrain(store, "endpoint-2", Constraints(claims=(OTHER, ADDRESS)))
    assert (refusal.value.claim, refusal.value.holder) == (ADDRESS, "endpoint-1")
    assert await store.holders("address", "subnet-1/") == {ADDRESS.key: "endpoint-1"}
    assert len(await whole_log(store)) == 1


async def test_a_holder_may_claim_again(store: Store) -> None:
    for _ in range(2):
        await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS, ADDRESS)))
    assert await store.holders("address", "") == {ADDRESS.key: "endpoint-1"}


async def test_a_released_claim_is_free_again(store: Store) -> None:
    await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS,)))
    await constrain(store, "endpoint-1", Constraints(releases=(ADDRESS,)))
    assert await store.holders("address", "") == {}
    await constrain(store, "endpoint-2", Constraints(claims=(ADDRESS,)))
    assert await store.holders("address", "") == {ADDRESS.key: "endpoint-2"}


async def test_others_claims_are_not_released(store: Store) -> None:
    await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS,)))
    await constrain(store, "endpoint-2", Constraints(releases=(ADDRESS, OTHER)))
    assert await store.holders("address", "") == {ADDRESS.key: "endpoint-1"}


async def test_a_release_comes_before_a_requirement_and_that_before_a_claim(store: Store) -> None:
    await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS,)))
    await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS,), releases=(ADDRESS,)))
    assert await store.holders("address", "") == {ADDRESS.key: "endpoint-1"}
    with pytest.raises(NotClaimed):
        await constrain(store, "endpoint-1", Constraints(releases=(ADDRESS,), requires=(ADDRESS,)))
    with pytest.raises(NotClaimed):
        await constrain(store, "endpoint-1", Constraints(claims=(OTHER,), requires=(OTHER,)))


async def test_a_requirement_is_met_by_whoever_holds_the_claim(store: Store) -> None:
    with pytest.raises(NotClaimed) as refusal:
        await constrain(store, "endpoint-2", Constraints(requires=(ADDRESS,)))
    assert refusal.value.claim == ADDRESS
    await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS,)))
    await constrain(store, "endpoint-2", Constraints(requires=(ADDRESS,)))
    assert await store.holders("address", "") == {ADDRESS.key: "endpoint-1"}


async def test_holders_are_found_by_kind_and_exact_prefix(store: Store) -> None:
    claims = [
        Claim("address", "subnet-1/10.0.0.1"),
        Claim("address", "Subnet-1/10.0.0.1"),
        Claim("address", "subnet-12/10.0.0.1"),
        Claim("address", "subnet_1/é"),
        Claim("name", "subnet-1/web"),
    ]
    await constrain(store, "vpc-1", Constraints(claims=tuple(claims)))
    assert await store.holders("address", "subnet-1/") == {"subnet-1/10.0.0.1": "vpc-1"}
    assert await store.holders("address", "subnet_1/") == {"subnet_1/é": "vpc-1"}
    assert len(await store.holders("address", "")) == 4
    assert await store.holders("address", "%") == {}


async def test_a_counter_counts_and_stops_at_its_limit(store: Store) -> None:
    assert await store.count("endpoints", "shop") == 0
    await constrain(store, "endpoint-1", counted(2, limit=3))
    await constrain(store, "endpoint-2", counted(1, limit=3))
    with pytest.raises(LimitReached) as refusal:
        await constrain(store, "endpoint-3", counted(1, limit=3))
    assert (refusal.value.value, refusal.value.count.limit) == (3, 3)
    assert await store.count("endpoints", "shop") == 3
    await constrain(store, "endpoint-1", counted(-2))
    assert await store.count("endpoints", "shop") == 1


async def test_a_limit_holds_for_the_sum_of_what_one_append_counts(store: Store) -> None:
    both = Constraints(counts=(Count("endpoints", "shop", 1, 1), Count("endpoints", "shop", 1, 1)))
    with pytest.raises(LimitReached):
        await constrain(store, "endpoint-1", both)
    assert await store.count("endpoints", "shop") == 0


async def test_a_count_of_nothing_asks_whether_the_counter_is_within_its_limit(store: Store) -> None:
    await constrain(store, "vpc-1", counted(0, limit=0))
    await constrain(store, "vpc-1", counted(1))
    with pytest.raises(LimitReached):
        await constrain(store, "vpc-1", counted(0, limit=0))


async def test_counters_are_kept_by_kind_and_key(store: Store) -> None:
    await constrain(store, "a", Constraints(counts=(Count("k", "1", 1), Count("k", "2", 2), Count("l", "1", -3))))
    assert [await store.count("k", "1"), await store.count("k", "2"), await store.count("l", "1")] == [1, 2, -3]


async def test_the_version_is_checked_before_the_constraints_and_nothing_of_a_refused_append_stays(
    store: Store,
) -> None:
    await constrain(store, "endpoint-1", Constraints(claims=(ADDRESS,)))
    much = Constraints(claims=(OTHER, ADDRESS), counts=(Count("endpoints", "shop", 1),))
    with pytest.raises(Conflict):
        await store.append(an_append("endpoint-2", expected=Exact(1), constraints=much))
    request = a_request()
    with pytest.raises(AlreadyClaimed):
        await store.append(an_append("endpoint-2", constraints=much, request=request))
    over = Constraints(releases=(ADDRESS,), claims=(OTHER,), counts=(Count("endpoints", "shop", 1, 0),))
    with pytest.raises(LimitReached):
        await store.append(an_append("endpoint-1", constraints=over))
    assert await store.holdings() == Holdings({ADDRESS: "endpoint-1"}, {})
    assert await store.recall(request.key, request.command_hash) is None
    assert len(await whole_log(store)) == 1


async def test_a_replayed_request_is_not_held_to_its_constraints_again(store: Store) -> None:
    append = an_append(constraints=Constraints(claims=(ADDRESS,)) + counted(1, limit=1), request=a_request())
    await store.append(append)
    assert (await store.append(append)).replayed
    assert await store.count("endpoints", "shop") == 1


async def test_of_twenty_that_race_for_one_address_one_gets_it(store: Store) -> None:
    claim = Constraints(claims=(ADDRESS,))
    found = await asyncio.gather(
        *[constrain(store, f"endpoint-{number}", claim) for number in range(20)], return_exceptions=True
    )
    assert sum(isinstance(outcome, Appended) for outcome in found) == 1
    assert sum(isinstance(outcome, AlreadyClaimed) for outcome in found) == 19
    assert len(await store.holders("address", "")) == 1
    assert len(await whole_log(store)) == 1


async def test_of_twenty_that_race_for_the_last_of_a_quota_one_gets_it(store: Store) -> None:
    limit = 5
    for number in range(limit - 1):
        await constrain(store, f"endpoint-{number}", counted(1, limit))
    found = await asyncio.gather(
        *[constrain(store, f"endpoint-{number}", counted(1, limit)) for number in range(10, 30)],
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Appended) for outcome in found) == 1
    assert sum(isinstance(outcome, LimitReached) for outcome in found) == 19
    assert await store.count("endpoints", "shop") == limit


@pytest.mark.parametrize("place", [0, 3, 5])
async def test_what_is_required_goes_or_is_used_but_never_both(store: Store, place: int) -> None:
    service = Claim("service", "service-1")
    await constrain(store, "service-1", Constraints(claims=(service,)))
    use = Constraints(requires=(service,), counts=(Count("uses", "service-1", 1),))
    give_up = Constraints(releases=(service,), counts=(Count("uses", "service-1", 0, 0),))
    racing = [constrain(store, f"endpoint-{number}", use) for number in range(5)]
    racing.insert(place, constrain(store, "service-1", give_up))
    found = await asyncio.gather(*racing, return_exceptions=True)
    given_up = isinstance(found.pop(place), Appended)
    used = await store.count("uses", "service-1")
    assert used == sum(isinstance(outcome, Appended) for outcome in found)
    assert given_up == (used == 0) == (await store.holders("service", "") == {})


async def test_claims_and_counters_are_rebuilt_from_the_log_alone(store: Store) -> None:
    meanings: dict[int, Constraints] = {}
    for number in range(40):
        stream, claim = f"endpoint-{number % 7}", Claim("address", str(number % 5))
        steps = [
            Constraints(claims=(claim,)),
            Constraints(releases=(claim,)),
            counted(1, limit=8),
            counted(-1),
            Constraints(requires=(claim,)),
        ]
        meaning = steps[number % 3 if number < 20 else number % 5]
        try:
            appended = await constrain(store, stream, meaning)
        except (AlreadyClaimed, NotClaimed):
            continue
        meanings[appended.position] = meaning

    def meaning_of(event: RecordedEvent) -> Constraints:
        return meanings[event.position]

    live = await store.holdings()
    assert live.claims
    assert live.counters
    assert rebuild_holdings(await whole_log(store), meaning_of) == live


async def test_a_log_in_which_two_hold_one_claim_is_not_rebuilt(store: Store) -> None:
    for number in range(2):
        await constrain(store, f"endpoint-{number}", Constraints())
    with pytest.raises(AlreadyClaimed):
        rebuild_holdings(await whole_log(store), lambda _event: Constraints(claims=(ADDRESS,)))


async def test_a_trial_is_refused_as_it_would_be_and_changes_nothing(store: Store) -> None:
    wanted = Constraints(claims=(ADDRESS,), counts=(Count("endpoints", "shop", 1, 1),))
    trial = replace(an_append("endpoint-1", constraints=wanted, request=a_request()), trial=True)
    tried = await asyncio.gather(*(store.append(trial) for _ in range(3)))
    assert {each.version for each in tried} == {1}
    assert await whole_log(store) == []
    assert await store.holders("address", "") == {}
    await store.append(replace(trial, trial=False, request=None))
    assert len(await whole_log(store)) == 1
    with pytest.raises(AlreadyClaimed):
        await store.append(replace(trial, stream="endpoint-2", request=None))
    with pytest.raises(LimitReached):
        await store.append(replace(trial, stream="endpoint-2", request=None, constraints=counted(1, limit=1)))
    with pytest.raises(Conflict):
        await store.append(replace(trial, expected=Exact(0), request=None))
    assert len(await whole_log(store)) == 1
