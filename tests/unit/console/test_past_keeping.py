"""Heads that were kept elsewhere count where their signature is good, of a key that was named, and of this log."""

from dataclasses import replace

import pytest

from services.console.past.keeping import Unbelievable, of_log, read
from services.console.past.proving import Head
from sidegate.evidence import Link
from sidegate.resources.logs import LogName
from sidegate.signed_heads import SigningKey

KEY = SigningKey.new()
HEAD = KEY.sign("registry", "log-1", 1, Link(42, bytes(32)), 7)
LINE, PEM = HEAD.line.decode(), KEY.public.pem.decode()


def test_a_head_says_of_its_own_log_what_its_hash_was() -> None:
    kept = read(f"{LINE}\n\n{LINE}", f"{PEM}\n{SigningKey.new().public.pem.decode()}")
    assert of_log(kept, Head(LogName.REGISTRY, "log-1", 1, Link(50, b""))) == {42: bytes(32)}
    assert of_log(kept, Head(LogName.ENDPOINT, "log-2", 1, Link(50, b""))) == {}
    assert read("", "") == []


@pytest.mark.parametrize(
    ("heads", "keys", "field", "text"),
    [
        ("nonsense", PEM, "heads", "Line 1"),
        (LINE, "", "keys", "without the key"),
        (LINE, "nonsense", "keys", "no public key"),
        (LINE, SigningKey.new().public.pem.decode(), "heads", "none of these keys"),
        (replace(HEAD, position=43).line.decode(), PEM, "heads", "none of these keys"),
    ],
)
def test_what_proves_nothing_is_refused_at_its_field(heads: str, keys: str, field: str, text: str) -> None:
    with pytest.raises(Unbelievable, match=text) as refused:
        read(heads, keys)
    assert refused.value.problem.concerns(field)


def test_a_head_of_a_log_that_was_made_anew_is_refused() -> None:
    with pytest.raises(Unbelievable, match="made anew"):
        of_log([HEAD], Head(LogName.REGISTRY, "another", 1, Link(50, b"")))
