"""What gateways tell of traffic is added up: nothing twice, nothing below zero, whatever comes again or begins anew."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.endpoint.domain.refusals import Cause
from services.endpoint.domain.traffic import MOST, NOTHING, UNCOUNTED, Counted, Passed
from services.endpoint.domain.traffic_board import GONE_FOR, Board
from services.endpoint.domain.traffic_series import QUIET, SECOND, Ring, Room
from services.endpoint.domain.traffic_tallies import MOST_REASONS, Condition, Owned, Told
from services.endpoint.wire.traffic import told_of
from services.gateway_agent.traffic import Traffic
from services.gateway_agent.untold import Untold
from sidegate.api.gateway.v1.traffic_pb2 import ReportTrafficRequest

BEGAN = 1_700_000_000 * SECOND
EAST, WEST = "east", "west"
SHOP, BANK, PAYMENTS = "shop/default", "bank/default", "payments/live"


def owned(id_: str, owner: str = SHOP, *, cell: str = EAST, service: str = "web") -> Owned:
    return Owned(id_, owner, PAYMENTS, service, cell, 7, BEGAN)


OWNED = {id_: owned(id_) for id_ in ("a", "b", "c")} | {"w": owned("w", cell=WEST), "z": owned("z", BANK)}


def counted(number: int, sessions: int = 0, **refused: int) -> Counted:
    passed = Passed(number, number, 40 * number, number, 60 * number)
    return Counted(sessions, passed, {Cause(cause): each for cause, each in refused.items()})


@dataclass
class Gateway:
    """Tells a board, as an agent does."""

    board: Board
    id: str = "gw-1"
    session: str = "s1"
    counting: str = "boot-1"
    cell: str = EAST
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def told(self, *endpoints: tuple[str, Counted], complete: bool = True, interval: int = 2 * SECOND) -> Told:
        condition = Condition(1, True, "1", 0, 100, {})
        return Told(self.session, next(self.numbers), self.counting, endpoints, complete, interval, condition)

    def take(self, told: Told, now: int = BEGAN) -> None:
        self.board.take(self.id, self.cell, told, OWNED, now)

    def tell(self, *endpoints: tuple[str, Counted], now: int = BEGAN, complete: bool = True) -> None:
        self.take(self.told(*endpoints, complete=complete), now)

    def join(self) -> None:
        self.session, self.numbers = f"{self.session}+", count(1)


@pytest.fixture
def board() -> Board:
    return Board(BEGAN)


@pytest.fixture
def gateway(board: Board) -> Gateway:
    """One that has told all once: there was nothing."""
    gateway = Gateway(board)
    gateway.tell()
    return gateway


def passed(board: Board, id_: str) -> Passed:
    tally = board.endpoint(id_)
    return tally.passed if tally else NOTHING


def sessions(board: Board, id_: str) -> int:
    tally = board.endpoint(id_)
    return tally.sessions if tally else 0


def test_what_had_passed_before_the_first_word_is_not_counted_and_sessions_are(board: Board) -> None:
    gateway = Gateway(board)
    gateway.tell(("a", counted(1000, 3)), complete=False)
    gateway.tell(("b", counted(50)))
    assert (passed(board, "a"), sessions(board, "a"), passed(board, "b")) == (NOTHING, 3, NOTHING)
    gateway.tell(("a", counted(1001, 2)), ("c", counted(4)))
    assert (passed(board, "a"), sessions(board, "a")) == (counted(1).passed, 2)
    assert passed(board, "c") == counted(4).passed, "of what is new all has come since"


def test_endpoints_are_added_up_over_gateways_and_services_over_endpoints(board: Board, gateway: Gateway) -> None:
    other = Gateway(board, "gw-2")
    other.tell()
    gateway.tell(("a", counted(3, 1, whitelist=2)), ("b", counted(5, 1)))
    other.tell(("a", counted(10, 2, whitelist=1, backend=4)))
    tally, service = board.endpoint("a"), board.service("web", PAYMENTS)
    assert tally is not None
    assert service is not None
    assert (tally.passed, tally.sessions) == (counted(13).passed, 3)
    assert tally.refused == {Cause.WHITELIST: 3, Cause.BACKEND: 4} == service.refused
    assert (service.passed, service.sessions) == (counted(18).passed, 4)
    assert board.service("web", SHOP) is None, "it is another's"


def test_a_report_that_comes_twice_or_late_is_counted_once(board: Board, gateway: Gateway) -> None:
    first, second = gateway.told(("a", counted(10))), gateway.told(("a", counted(12)))
    for told in (first, first, second, first, second):
        gateway.take(told)
    assert passed(board, "a") == counted(12).passed


def test_counts_that_went_back_began_anew(board: Board, gateway: Gateway) -> None:
    gateway.tell(("a", counted(10, 4, port=5)))
    gateway.tell(("a", counted(3, 1, port=1)))
    assert (passed(board, "a"), sessions(board, "a")) == (counted(13).passed, 1)
    assert board.endpoint("a").refused == {Cause.PORT: 6}  # type: ignore[union-attr]


def test_other_counters_began_at_nothing(board: Board, gateway: Gateway) -> None:
    gateway.tell(("a", counted(10, 4)), ("b", counted(5, 2)))
    gateway.counting = "boot-2"
    gateway.join()
    gateway.tell(("a", counted(500, 1)))
    assert passed(board, "a") == counted(510).passed, "although it has more than before"
    assert (sessions(board, "a"), sessions(board, "b")) == (1, 0)


def test_an_agent_that_begins_anew_goes_on_counting(board: Board, gateway: Gateway) -> None:
    gateway.tell(("a", counted(10, 4)), ("b", counted(3, 1)))
    gateway.join()
    gateway.tell(("a", counted(25, 2)))
    assert passed(board, "a") == counted(25).passed, "what passed meanwhile, too"
    assert (sessions(board, "b"), passed(board, "b")) == (0, counted(3).passed), "it is not there any more"
    gateway.tell(("b", counted(2)))
    assert passed(board, "b") == counted(5).passed


def test_a_gateway_tells_nothing_of_another_cells_endpoints(board: Board, gateway: Gateway) -> None:
    gateway.tell(("w", counted(10, 1)), ("nobody's", counted(10)))
    assert (passed(board, "w"), sessions(board, "w"), board.endpoint("nobody's")) == (NOTHING, 0, None)
    other = Gateway(board, "gw-9", cell=WEST)
    other.tell()
    other.tell(("w", counted(4, 2)))
    gateway.tell(("w", UNCOUNTED))
    assert (passed(board, "w"), sessions(board, "w")) == (counted(4).passed, 2)


def test_a_lost_gateways_sessions_are_none_until_it_is_back(board: Board, gateway: Gateway) -> None:
    gateway.tell(("a", counted(10, 4)))
    gateway.board.lose("gw-1", BEGAN + SECOND)
    assert (sessions(board, "a"), passed(board, "a")) == (0, counted(10).passed)
    gateway.join()
    gateway.tell(("a", counted(11, 3)))
    assert (sessions(board, "a"), passed(board, "a")) == (3, counted(11).passed)
    board.retire("gw-1", BEGAN)
    assert (sessions(board, "a"), board.gateway("gw-1")) == (0, None)


def test_of_an_endpoint_that_is_gone_the_last_word_counts_for_its_service(board: Board, gateway: Gateway) -> None:
    gateway.tell(("a", counted(10, 4)), ("b", counted(1, 1)))
    board.forget("a", BEGAN)
    assert board.endpoint("a") is None
    assert [each.of.endpoint for each in board.passing(PAYMENTS, "", 10, BEGAN)] == ["b"]
    gateway.tell(("a", counted(12)), ("a", UNCOUNTED))
    service = board.service("web", PAYMENTS)
    assert service is not None
    assert (service.passed, service.sessions, {*service.endpoints}) == (counted(13).passed, 1, {"b"})
    board.forget("a", BEGAN)  # again
    gateway.tell(now=BEGAN + GONE_FOR + SECOND)
    assert len(board) == 1
    board.forget("b", BEGAN + GONE_FOR + SECOND)
    gateway.tell(now=BEGAN + 3 * GONE_FOR)
    assert (len(board), board.service("web", PAYMENTS), len(board.of_services)) == (0, None, 0)


def test_rates_are_of_the_last_round_of_each_gateway(board: Board, gateway: Gateway) -> None:
    other = Gateway(board, "gw-2")
    other.tell()
    gateway.tell(("a", counted(10, whitelist=4)), complete=False)
    gateway.tell(("b", counted(6)))
    other.take(other.told(("a", counted(100)), interval=10 * SECOND))
    found = board.rate_of_endpoint("a", BEGAN)
    assert (found.packets_in, found.bytes_in, found.bytes_out) == (5 + 10, 200 + 400, 300 + 600)
    assert found.refused == {Cause.WHITELIST: 2.0}
    assert board.rate_of_service("web", BEGAN).packets_in == 5 + 3 + 10
    assert board.rate_of_endpoint("a", BEGAN + 20 * SECOND).packets_in == 10, "of the other nothing is heard"
    gateway.tell()
    assert board.rate_of_endpoint("a", BEGAN).packets_in == 10, "nothing came with the round after it"


def test_what_passes_is_listed_for_both_sides_by_id_and_what_is_idle_is_not(board: Board, gateway: Gateway) -> None:
    gateway.tell(("c", counted(1)), ("a", counted(1, 1)), ("z", counted(1)))
    assert [each.of.endpoint for each in board.passing(SHOP, "", 10, BEGAN)] == ["a", "c"]
    assert [each.of.endpoint for each in board.passing(BANK, "", 10, BEGAN)] == ["z"]
    assert [each.of.endpoint for each in board.passing(PAYMENTS, "a", 1, BEGAN)] == ["c"]
    assert board.passing("nobody/at-all", "", 10, BEGAN) == []
    gateway.tell()
    assert [each.of.endpoint for each in board.passing(PAYMENTS, "", 10, BEGAN)] == ["a"], "it has a session"


def test_a_gateway_has_what_it_told_and_refused_since_it_was_first_heard(board: Board) -> None:
    gateway = Gateway(board)
    for refused in ({"no_port": 100}, {"no_port": 103, "ttl": 2}, {"no_port": 103, "ttl": 2}):
        condition = Condition(5, True, "1.2", 9, 100, refused)
        gateway.take(replace(gateway.told(("a", counted(10 + refused["no_port"], 9))), condition=condition))
    tally = board.gateway("gw-1")
    assert tally is not None
    assert (tally.refused, tally.total.passed, tally.total.sessions) == (
        {"no_port": 3, "ttl": 2},
        counted(3).passed,
        9,
    )


def test_a_gateway_that_has_another_word_for_what_it_refuses_each_time_fills_no_memory(board: Board) -> None:
    gateway = Gateway(board)
    gateway.tell()
    for number in range(50):
        request = ReportTrafficRequest(session_id="s1", number=number + 2, counting="boot-1", complete=True)
        request.condition.refused.update({f"{number}-{each}-{'x' * 10_000}": 1 for each in range(10)})
        gateway.take(told_of(request))
    tally = board.gateway("gw-1")
    assert tally is not None
    assert sum(tally.refused.values()) == 500
    assert len(tally.refused) <= MOST_REASONS + 1
    assert max(map(len, tally.refused)) <= 32


def test_no_count_grows_beyond_what_can_be_told(board: Board, gateway: Gateway) -> None:
    huge = Counted(1, Passed(MOST, MOST, MOST, MOST, MOST), {Cause.PORT: MOST})
    for _ in range(3):
        gateway.tell(("a", huge))
        gateway.tell(("a", UNCOUNTED))
    service = board.service("web", PAYMENTS)
    assert service is not None
    assert (service.passed, service.refused) == (Passed(MOST, MOST, MOST, MOST, MOST), {Cause.PORT: MOST})
    sample = board.of_services.read("web", "fine", BEGAN).samples[-1]
    assert (sample.passed, sample.refused) == (service.passed, service.refused)


# ---- samples


def test_samples_follow_each_other_without_a_gap_and_the_oldest_go() -> None:
    ring = Ring(5 * SECOND, 4, BEGAN)
    ring.add(BEGAN, counted(1).passed, {Cause.PORT: 1}, 2)
    ring.add(BEGAN + 4 * SECOND, counted(2).passed, {}, 3)
    ring.add(BEGAN + 10 * SECOND, counted(5).passed, {Cause.PORT: 7}, 1)
    found = ring.read(BEGAN + 16 * SECOND)
    assert (found.start, found.step) == (BEGAN, 5 * SECOND)
    assert [each.passed.packets_in for each in found.samples] == [3, 0, 5, 0]
    assert [each.sessions for each in found.samples] == [3, 3, 1, 1], "sessions stay while nothing is told"
    assert [each.refused for each in found.samples] == [{Cause.PORT: 1}, {}, {Cause.PORT: 7}, {}]
    later = ring.read(BEGAN + 31 * SECOND)
    assert later.start == BEGAN + 15 * SECOND
    assert [(each.passed, each.sessions, each.refused) for each in later.samples] == [(NOTHING, 1, {})] * 4
    ring.add(BEGAN, counted(9).passed, {}, 1)  # the clock was set back
    assert ring.read(BEGAN).samples[-1].passed == counted(9).passed


def test_who_has_samples_keeps_them_until_it_is_quiet_and_another_is_not() -> None:
    room = Room(2)
    for id_ in ("a", "b", "c"):
        room.add(id_, BEGAN, counted(1).passed, {}, 0)
    assert [*room.ids()] == ["a", "b"]
    assert room.read("c", "fine", BEGAN).samples == ()
    room.add("b", BEGAN + QUIET, counted(1).passed, {}, 0)
    room.add("c", BEGAN + QUIET, counted(1).passed, {}, 0)
    assert [*room.ids()] == ["b", "c"]
    assert len(room.read("b", "coarse", BEGAN + QUIET).samples) == QUIET // (60 * SECOND) + 1
    room.forget("b")
    assert (len(room), [*Room(0).ids()]) == (1, [])
    Room(0).add("a", BEGAN, NOTHING, {}, 1)


@given(
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=40),
    size=st.integers(1, 6),
)
def test_a_ring_has_what_a_list_of_all_would_have(steps: Sequence[tuple[int, int]], size: int) -> None:
    ring, now, all_of_them = Ring(5 * SECOND, size, BEGAN), BEGAN, dict[int, int]()
    for wait, number in steps:
        now += wait * SECOND
        ring.add(now, counted(number).passed, {Cause.PACKET: number} if number else {}, number)
        all_of_them[now // (5 * SECOND)] = all_of_them.get(now // (5 * SECOND), 0) + number
    found = ring.read(now)
    newest = now // (5 * SECOND)
    buckets = range(max(BEGAN // (5 * SECOND), newest - size + 1), newest + 1)
    assert [each.passed.packets_in for each in found.samples] == [all_of_them.get(bucket, 0) for bucket in buckets]
    assert [each.refused.get(Cause.PACKET, 0) for each in found.samples] == [
        all_of_them.get(bucket, 0) for bucket in buckets
    ]


# ---- an agent and a board together, whatever happens to either


@dataclass
class Kernel:
    """Counters of one gateway: they outlive its agent, and begin at 0 for an endpoint that is put in anew."""

    counting: int = 0
    counts: dict[str, Traffic] = field(default_factory=dict)

    def pass_(self, id_: str, number: int) -> None:
        had = self.counts[id_]
        self.counts[id_] = Traffic(had.sessions, had.sessions_made, had.packets_in + number, had.bytes_in + 40 * number)


ACTIONS = st.sampled_from(["pass", "pass", "pass", "tell", "tell", "again", "reput", "kill", "rejoin", "reboot"])


@dataclass
class Story:
    """What becomes of two endpoints on one gateway. `lost` is what nobody could tell any more.

    Where an agent ends that alone knew of an endpoint taken out and put in again, no more is known than that nothing
    is counted twice: `exact` has those of which more is.
    """

    board: Board = field(default_factory=lambda: Board(BEGAN))
    kernel: Kernel = field(default_factory=lambda: Kernel(counts={"a": Traffic(), "b": Traffic()}))
    untold: Untold = field(default_factory=Untold)
    passed: "Counter[str]" = field(default_factory=Counter)
    unheard: "Counter[str]" = field(default_factory=Counter)
    lost: "Counter[str]" = field(default_factory=Counter)
    put_anew: set[str] = field(default_factory=set)
    exact: set[str] = field(default_factory=lambda: {"a", "b"})
    requests: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.board)
        self.tell()

    def tell(self) -> None:
        self.untold.begin()
        news = [(id_, seen(each)) for id_, each in self.untold.news(self.kernel.counts)]
        self.requests.append(self.gateway.told(*news))
        self.gateway.take(self.requests[-1])
        self.unheard.clear()
        self.put_anew.clear()

    def do(self, action: str, id_: str, number: int) -> None:
        match action:
            case "pass":
                self.kernel.pass_(id_, number)
                self.passed[id_] += number
                self.unheard[id_] += number
            case "tell":
                self.tell()
            case "again" if (old := self.requests[-number % len(self.requests)]).session == self.gateway.session:
                self.gateway.take(old)
            case "reput":
                self.untold.part(id_, self.kernel.counts[id_])
                self.kernel.counts[id_] = Traffic()
                self.put_anew.add(id_)
            case "kill" | "rejoin":
                self.untold = Untold() if action == "kill" else self.untold
                self.join_again()
                self.exact -= self.put_anew
                self.tell()
            case "reboot":
                self.lost.update(self.unheard)
                self.untold, self.gateway.counting = Untold(), f"{self.gateway.counting}+"
                self.kernel.counts = {"a": Traffic(), "b": Traffic()}
                self.join_again()
                self.tell()

    def join_again(self) -> None:
        self.untold.forget()
        self.gateway.join()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ACTIONS, st.sampled_from("ab"), st.integers(1, 9)), max_size=60))
def test_what_passed_is_counted_exactly_once(actions: Sequence[tuple[str, str, int]]) -> None:
    story, before = Story(), dict.fromkeys("ab", NOTHING)
    for action, id_, number in actions:
        story.do(action, id_, number)
        for each in "ab":
            now = passed(story.board, each)
            assert before[each].packets_in <= now.packets_in <= story.passed[each]
            before[each] = now
    story.tell()
    for each in "ab":
        found = passed(story.board, each)
        assert found.packets_in <= story.passed[each]
        assert found.bytes_in == 40 * found.packets_in
        if each in story.exact:
            assert found.packets_in == story.passed[each] - story.lost[each]


def seen(traffic: Traffic) -> Counted:
    counts = (traffic.sessions_made, traffic.packets_in, traffic.bytes_in, traffic.packets_out, traffic.bytes_out)
    return Counted(traffic.sessions, Passed(*counts))


def test_who_is_taken_out_while_it_is_read_is_told_of_the_next_time() -> None:
    untold, some, more = Untold(), Traffic(packets_in=5), Traffic(packets_in=7)
    untold.begin()
    assert untold.news({"a": some}) == [("a", some)]
    untold.begin()
    untold.part("a", more)
    assert untold.news({"a": Traffic(packets_in=6)}) == []
    untold.begin()
    assert untold.news({"a": some}) == [("a", more), ("a", Traffic()), ("a", some)]


def test_who_is_missing_is_believed_to_be_gone_the_second_time() -> None:
    untold, some = Untold(), Traffic(packets_in=5)
    for read, told in (({"a": some}, [("a", some)]), ({}, []), ({}, [("a", Traffic())]), ({}, [])):
        untold.begin()
        assert untold.news(read) == told
    untold.part("b", None)  # nobody could say what it had passed
    untold.begin()
    assert untold.news({}) == [("b", Traffic())]
