"""When an agent stops by itself, and when it tries again."""

from math import inf
from pathlib import Path

from services.gateway_agent.fence import Fence
from services.gateway_agent.retries import Retries
from services.gateway_agent.table import Key, Kind

WEB, SHOP = Key(Kind.SERVICE, "web"), Key(Kind.ATTACHMENT, "shop")


class Clock:
    def __init__(self, seconds: float = 100.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def test_the_fence_goes_up_when_the_time_is_over() -> None:
    clock = Clock()
    fence = Fence(clock, after=60.0)
    clock.seconds = 159.9
    assert not fence.up
    clock.seconds = 160.0
    assert fence.up


def test_an_answer_counts_from_when_it_was_asked_for() -> None:
    clock = Clock()
    fence = Fence(clock, after=60.0)
    clock.seconds = 150.0
    fence.hear(asked_at=130.0)
    assert fence.remaining == 40.0
    fence.hear(asked_at=120.0)
    assert fence.remaining == 40.0


def test_a_closed_fence_is_up_until_the_control_plane_is_heard() -> None:
    clock = Clock()
    fence = Fence(clock, after=60.0)
    fence.close()
    assert fence.up
    fence.hear(asked_at=100.0)
    assert not fence.up


def test_a_restart_goes_on_where_the_record_ends(tmp_path: Path) -> None:
    clock, record = Clock(), tmp_path / "heard"
    first = Fence(clock, after=3600.0, record=record)
    first.after = 60.0
    clock.seconds = 110.0
    first.hear(asked_at=105.0)
    clock.seconds = 150.0
    second = Fence(clock, after=3600.0, record=record)
    assert (second.heard, second.after, second.remaining) == (105.0, 60.0, 15.0)


def test_a_record_of_another_boot_or_of_nothing_counts_as_none(tmp_path: Path) -> None:
    record = tmp_path / "heard"
    for content in ("500.0 60.0", "", "soon", "1.0"):
        record.write_text(content)
        assert Fence(Clock(), after=60.0, record=record).remaining == 60.0


def test_a_record_that_cannot_be_written_harms_nothing(tmp_path: Path) -> None:
    fence = Fence(Clock(), after=60.0, record=tmp_path / "nowhere" / "heard")
    fence.hear(asked_at=100.0)
    assert not fence.up


def test_a_key_that_fails_again_waits_longer_up_to_a_limit() -> None:
    retries, waits = Retries(floor=0.2, cap=1.0), []
    for _ in range(5):
        retries.failed(WEB, now=10.0)
        waits.append(round(retries.wait(now=10.0), 3))
        assert retries.due(now=10.0 + waits[-1]) == [WEB]
    assert waits == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_key_that_succeeded_is_forgotten() -> None:
    retries = Retries(floor=0.2, cap=5.0)
    assert retries.failed(WEB, now=0.0)
    assert not retries.failed(WEB, now=0.0)
    assert retries.failed(SHOP, now=0.0)
    assert WEB in retries
    assert retries.succeeded(WEB)
    assert not retries.succeeded(WEB)
    assert retries.due(now=100.0) == [SHOP]
    assert retries.wait(now=100.0) == inf
