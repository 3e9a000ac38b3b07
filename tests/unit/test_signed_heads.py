"""Signed heads: what a signature covers, and what is no head."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidegate.evidence import Link
from sidegate.signed_heads import NotAHead, NotAKey, PublicKey, SignedHead, SigningKey, read_head, read_heads

KEY = SigningKey.new()
LOG = "0b8f7a52-3c1d-4b54-9d6c-0d3f5a1f7a11"


def a_head(position: int = 7, key: SigningKey = KEY) -> SignedHead:
    return key.sign("registry", LOG, 1, Link(position, bytes(range(32))), 1_700_000_000_000_000_000)


def test_the_public_half_alone_tells_what_was_signed() -> None:
    public = PublicKey.read(KEY.public.pem)
    assert public.signed(a_head())
    assert public.id == KEY.public.id
    assert not SigningKey.new().public.signed(a_head())


ALTERED: dict[str, Any] = {
    "log": "endpoint",
    "log_id": LOG.replace("0b", "0c"),
    "epoch": 2,
    "position": 8,
    "hash": bytes(32).hex(),
    "signed_at": 1,
    "key_id": "0" * 16,
    "signature": "00" * 64,
}


@pytest.mark.parametrize("field", ALTERED)
def test_every_field_is_signed(field: str) -> None:
    assert set(ALTERED) == set(asdict(a_head()))
    assert not KEY.public.signed(replace(a_head(), **{field: ALTERED[field]}))


def test_fields_do_not_run_into_one_another() -> None:
    head = a_head()
    moved = replace(head, log="registr", log_id="y" + LOG)
    assert moved.text != head.text


def test_a_line_gives_the_head_back() -> None:
    assert read_head(a_head().line) == a_head()


@given(st.integers(0, len(a_head().line) - 1), st.integers(1, 255))
def test_no_byte_of_a_line_can_be_altered_unseen(place: int, by: int) -> None:
    line = bytearray(a_head().line)
    line[place] ^= by
    try:
        found = read_head(bytes(line))
    except NotAHead:
        return
    assert not KEY.public.signed(found)


@given(st.binary(max_size=200))
def test_anything_else_is_no_head(line: bytes) -> None:
    with pytest.raises(NotAHead):
        read_head(line)


def test_a_file_names_the_line_that_is_no_head(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    path.write_bytes(a_head(1).line + a_head(2).line)
    assert [head.position for head in read_heads(path)] == [1, 2]
    path.write_bytes(a_head(1).line + b"{}\n")
    with pytest.raises(NotAHead, match="line 2"):
        read_heads(path)


@pytest.mark.parametrize("pem", [b"", b"hello", KEY.public.pem.replace(b"MC", b"MD"), KEY.pem])
def test_what_is_no_public_key_is_named(pem: bytes) -> None:
    with pytest.raises(NotAKey):
        PublicKey.read(pem)


def test_a_signing_key_comes_back_from_its_file_and_shows_nothing() -> None:
    assert SigningKey.read(KEY.pem).public.id == KEY.public.id
    secret = KEY.pem.splitlines()[1].decode()
    assert secret not in repr(KEY)
    with pytest.raises(NotAKey):
        SigningKey.read(KEY.public.pem)
