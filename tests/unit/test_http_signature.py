"""SDK-HMAC-SHA256 as the server checks it: both published vectors, the real signers, and whatever else may come."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given
from hypothesis import strategies as st

from services.http_api.auth.replays import MOST_OF_A_KEY, TWIN_SECONDS, WINDOW_SECONDS, Full, Replays
from services.http_api.auth.signature import (
    Malformed,
    Request,
    Signature,
    canonical,
    parse,
    signed_at,
    string_to_sign,
)

SECRET = b"SKEXAMPLE"
NAMES = ["content-type", "host", "user-agent", "x-project-id", "x-sdk-date"]
DATE = "20260101T000000Z"


def request(method: str, path: str, query: str, content_type: str, body: bytes = b"") -> Request:
    headers = [
        ("content-type", content_type),
        ("host", "vpcep.local.test"),
        ("user-agent", "t"),
        ("x-project-id", "p1"),
        ("x-sdk-date", DATE),
    ]
    return Request(method, path.encode(), query.encode(), headers, body)


A = request("GET", "/v1/p1/vpc-endpoint-services", "endpoint_service_name=a%20b&limit=5", "application/json")
B = request(
    "POST",
    "/v1/p1/vpc-endpoint-services/s1/connections/action",
    "",
    "application/json;charset=UTF-8",
    b'{"action":"receive","endpoints":["e1"]}',
)


@pytest.mark.parametrize(
    ("vector", "digest", "mac"),
    [
        (
            A,
            "9debb3cccdcf4724d0945ec1cf322fe92222cd881920df89bf1396ffb9b9536c",
            "5179e4058dc2a9113829513444218aba4dff3d4dc7bc5d06f5cf727504e8755a",
        ),
        (
            B,
            "d7ac64cbb11ac73fcfa508384cde6fd1733c3caf833843f37b440ce465ea5257",
            "f7fe421043513bf0eb4dd158340ce6ec8fad99e586265524fbe87f8d997bd41a",
        ),
    ],
    ids=["A", "B"],
)
def test_the_published_vectors_are_met(vector: Request, digest: str, mac: str) -> None:
    said = Signature("AKEXAMPLE", NAMES, "")
    assert hashlib.sha256(canonical(vector, said)).hexdigest() == digest
    assert hmac.new(SECRET, string_to_sign(vector, said), hashlib.sha256).hexdigest() == mac


def test_a_slash_at_the_end_and_the_order_of_a_query_change_nothing() -> None:
    said = Signature("AK", NAMES, "")
    twin = request("get", "/v1/p1/vpc-endpoint-services/", "limit=5&endpoint_service_name=a%20b", "application/json")
    assert canonical(A, said) == canonical(twin, said)


TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=12)


@given(
    segments=st.lists(TEXT.filter(bool), min_size=1, max_size=3),
    query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=3),
    body=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
def test_what_the_sdk_signs_is_what_is_checked(segments: list[str], query: dict[str, str], body: str) -> None:
    path = "/" + "/".join(quote(each, safe="") for each in segments)
    made = SdkRequest(
        method="POST",
        schema="https",
        host="h:1",
        resource_path=path,
        query_params=list(query.items()),
        header_params={"Content-Type": "application/json", "X-Sdk-Date": DATE},
        body=body,
    )
    signed = Signer(BasicCredentials("AK", "SK", "p")).sign(made)
    headers = [(name.lower(), str(value)) for name, value in signed.header_params.items()]
    _, _, sent = signed.uri.partition("?")
    came = Request("POST", path.encode(), sent.encode(), headers, body.encode())
    said = parse(signed.header_params["Authorization"])
    mac = hmac.new(b"SK", string_to_sign(came, said), hashlib.sha256)
    assert mac.hexdigest() == said.hexadecimal


def authorization(names: Sequence[str] = NAMES, algorithm: str = "SDK-HMAC-SHA256", mac: str = "0" * 64) -> str:
    return f"{algorithm} Access=AK, SignedHeaders={';'.join(names)}, Signature={mac}"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Bearer x",
        authorization(algorithm="SDK-HMAC-SM3"),
        authorization(algorithm="V11-HMAC-SHA256"),
        authorization(mac="0" * 63),
        authorization(mac="Z" * 64),
        authorization([]),
        authorization(["Host"]),
        authorization() + "\n",
        authorization().replace("Access=AK, ", ""),
        authorization().replace("AK", "A" * 129),
    ],
)
def test_what_is_no_signature_is_refused(said: str) -> None:
    with pytest.raises(Malformed):
        parse(said)


def test_the_date_is_there_once_and_signed() -> None:
    said = Signature("AK", NAMES, "")
    assert signed_at(A, said) == datetime(2026, 1, 1, tzinfo=UTC)
    for headers, names in (
        ([], NAMES),
        ([("x-sdk-date", DATE)], ["host"]),
        ([("x-sdk-date", DATE), ("x-sdk-date", DATE)], NAMES),
        ([("x-sdk-date", "20261301T000000Z")], NAMES),
        ([("x-sdk-date", "2026-01-01T00:00:00Z")], NAMES),
    ):
        with pytest.raises(Malformed):
            signed_at(Request("GET", b"/", b"", headers, b""), Signature("AK", names, ""))


def test_a_header_that_is_signed_and_not_there_is_noticed() -> None:
    with pytest.raises(Malformed):
        canonical(A, Signature("AK", ["x-other"], ""))


def test_a_body_is_what_its_hash_says_or_it_is_refused() -> None:
    said = Signature("AK", ["x-sdk-content-sha256"], "")
    for claim in ("UNSIGNED-PAYLOAD", "0" * 64):
        with pytest.raises(Malformed):
            canonical(Request("POST", b"/", b"", [("x-sdk-content-sha256", claim)], b"{}"), said)
    true = hashlib.sha256(b"{}").hexdigest()
    assert canonical(Request("POST", b"/", b"", [("x-sdk-content-sha256", true)], b"{}"), said).endswith(true.encode())


HEADERS = st.lists(st.tuples(st.sampled_from([*NAMES, "x-sdk-content-sha256", "authorization"]), st.text(max_size=20)))


@given(said=st.text(max_size=80) | st.text(max_size=60).map(lambda end: authorization()[:-60] + end))
def test_whatever_authorization_is_it_is_parsed_or_refused(said: str) -> None:
    try:
        assert len(parse(said).value) == 32
    except Malformed as error:
        assert str(error).isupper()


@given(path=st.binary(max_size=40), query=st.binary(max_size=40), headers=HEADERS, body=st.binary(max_size=20))
def test_whatever_a_request_is_it_has_a_text_to_sign_or_is_refused(
    path: bytes, query: bytes, headers: list[tuple[str, str]], body: bytes
) -> None:
    came, said = Request("PUT", path, query, headers, body), Signature("AK", ["x-sdk-date"], "")
    try:
        signed_at(came, said)
        assert string_to_sign(came, said).startswith(b"SDK-HMAC-SHA256\n")
    except Malformed as error:
        assert str(error).isupper()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_what_makes_something_new_is_served_once() -> None:
    clock = Clock()
    replays = Replays(clock)
    at: dict[str, Any] = {"signed_at": clock.now}
    assert replays.take("AK", b"1", once=True, **at)
    assert not replays.take("AK", b"1", once=True, **at)
    assert replays.take("AK", b"2", once=True, **at)
    assert replays.take("OTHER", b"1", once=True, **at)
    clock.now += 2 * WINDOW_SECONDS - 1
    assert not replays.take("AK", b"1", once=True, **at)


def test_what_is_harmless_twice_is_let_through_while_a_client_cannot_sign_it_otherwise() -> None:
    clock = Clock()
    replays = Replays(clock)
    signed = clock.now
    assert replays.take("AK", b"1", signed_at=signed, once=False)
    assert replays.take("AK", b"1", signed_at=signed, once=False)
    clock.now += TWIN_SECONDS + 1
    assert not replays.take("AK", b"1", signed_at=signed, once=False)


def test_a_key_that_writes_too_much_fills_no_others_memory() -> None:
    clock = Clock()
    replays = Replays(clock)
    for number in range(MOST_OF_A_KEY):
        replays.take("AK", number.to_bytes(4), signed_at=clock.now, once=True)
    with pytest.raises(Full):
        replays.take("AK", b"more", signed_at=clock.now, once=True)
    assert replays.take("OTHER", b"1", signed_at=clock.now, once=True)
    clock.now += 2 * WINDOW_SECONDS + 1
    assert replays.take("AK", b"more", signed_at=clock.now, once=True)
