"""The access log: what is in it, and that nobody can fill a disk with it or hide others' lines."""

import json
from pathlib import Path

from services.common.identity.access_log import BURST, KEPT, AccessLog, Refusal
from services.common.identity.attempts import MOST_BUCKETS, Buckets


def refusal(account: str = "shop", peer: str = "ipv4:127.0.0.1:1", access_key: str = "", resource: str = "") -> Refusal:
    project = "default" if account else ""
    return Refusal(
        1, "a.B/C", "NOT_FOUND", "NOT_ALLOWED", peer, account, project, access_key=access_key, resource=resource
    )


def test_a_line_says_who_what_and_why_and_is_read_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    AccessLog(path).write(refusal(access_key="AK1", resource="x"))
    told = json.loads(path.read_text())
    assert (told["account"], told["method"], told["reason"], told["resource"]) == ("shop", "a.B/C", "NOT_ALLOWED", "x")
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as half:
        half.write('{"at": 1, "meth')
    assert [each.resource for each in AccessLog(path).newest(10)] == ["x"]


def test_who_makes_too_many_is_counted_and_hides_nobody(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    for _ in range(BURST * 3):
        log.write(refusal("noisy"))
        log.write(refusal("", "ipv4:10.0.0.9:4444"))
    log.write(refusal("quiet"))
    newest = log.newest(1000)
    assert [each.account for each in newest].count("noisy") <= BURST + 2
    assert newest[-1].account == "quiet"
    log._shares = Buckets(BURST, 1.0)
    log.write(refusal("noisy"))
    assert log.newest(1)[0].left_out >= BURST


def test_another_port_is_no_other_caller() -> None:
    assert refusal("", "ipv4:10.0.0.9:1").caller == refusal("", "ipv4:10.0.0.9:2").caller
    assert refusal("", "ipv4:10.0.0.9:1").caller != refusal("", "ipv4:10.0.0.8:1").caller


def test_the_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl", largest=2000)
    for number in range(400):
        log.write(refusal(f"account-{number}", resource="r" * 5000))
    files = list(tmp_path.iterdir())
    assert len(files) == KEPT + 1
    assert all(file.stat().st_size <= 2000 for file in files)


def test_a_disk_that_is_full_lets_nobody_in_and_ends_nothing(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "nowhere" / "access.jsonl")
    log.write(refusal())
    assert len(log.newest(10)) == 1


def test_a_bucket_fills_again_and_there_are_not_ever_more_of_them() -> None:
    now = [0.0]
    buckets = Buckets(2, 10.0, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    assert buckets.empty("a")
    now[0] = 10.0
    assert [buckets.take("a"), buckets.take("a")] == [True, False]
    for number in range(MOST_BUCKETS + 10):
        buckets.take(str(number))
    assert len(buckets._left) == MOST_BUCKETS
