"""People who come by an OpenID provider: what proves who they are, and everything that does not."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from services.console.app import Console, Ports
from services.console.sessions.access import VISIT
from services.console.signing_in.by_provider import BACK, ByProvider
from services.console.signing_in.keys import Places
from services.console.signing_in.provider import LONGEST, Away, Known, Provider, Refused, Unproven
from services.console.signing_in.ways import LONGEST_SECONDS, Astray, Way, Ways

ISSUER = "https://login.test"
KNOWN = Known(ISSUER, "sidegate", "the console's secret", "Example Login")
KEY, OTHER_KEY = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("one", "one"))
ABOUT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
    "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
}
NONE = urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
WAY = Way("a state", "a nonce", "a verifier of forty-three characters, or more")
Claims = dict[str, Any]


def claims(**others: object) -> Claims:
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "sidegate", "sub": "ann", "nonce": WAY.nonce, "iat": now, "exp": now + 60, **others}
    return {name: value for name, value in said.items() if value is not None}


def signed(said: Claims, key: RSAKey = KEY) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, said, key)


def unsigned(said: Claims) -> str:
    _, body, _ = signed(said).split(".")
    return f"{NONE}.{body}."


def signed_with_what_everybody_knows(said: Claims) -> str:
    """HS256 with the public key for a secret: who takes the algorithm from the token lets anybody in."""
    head, body, _ = jwt.encode({"alg": "HS256", "kid": "one"}, said, OctKey.import_key("x" * 32)).split(".")
    made = hmac.digest(KEY.as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{urlsafe_b64encode(made).decode().rstrip('=')}"


def signed_with_the_consoles_secret(said: Claims) -> str:
    return jwt.encode({"alg": "HS256"}, said, OctKey.import_key(KNOWN.secret * 2), algorithms=["HS256"])


class Login:
    """A provider whose token is what a test makes it."""

    def __init__(self) -> None:
        self.about: Claims = dict(ABOUT)
        self.token: Callable[[], Any] = lambda: signed(claims())
        self.asked: list[httpx.Request] = []
        self.answers: dict[str, Callable[[], httpx.Response]] = {}
        self.provider = Provider(KNOWN, httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if (found := self.answers.get(request.url.path)) is not None:
            return found()
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self.about)
            case "/keys":
                return httpx.Response(200, json={"keys": [KEY.as_dict(private=False)]})
            case _:
                return httpx.Response(200, json={"access_token": "x", "token_type": "Bearer", "id_token": self.token()})

    async def who(self) -> Mapping[str, Any]:
        return await self.provider.who("a code", WAY, "https://console.test/back")


@pytest.fixture
async def login() -> AsyncIterator[Login]:
    made = Login()
    yield made
    await made.provider.close()


async def test_a_token_that_is_signed_and_meant_for_us_says_who_somebody_is(login: Login) -> None:
    assert (await login.who())["sub"] == "ann"
    asked = next(request for request in login.asked if request.url.path == "/token")
    form = parse_qs(asked.content.decode())
    assert form["code_verifier"] == [WAY.verifier]
    assert form["redirect_uri"] == ["https://console.test/back"]
    assert asked.headers["authorization"].startswith("Basic ")
    assert KNOWN.secret not in repr(KNOWN)


async def test_somebody_is_sent_away_with_state_nonce_and_challenge_and_without_the_verifier(login: Login) -> None:
    url = urlsplit(await login.provider.where(WAY, "https://console.test/back", "zh-CN"))
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (asked["state"], asked["nonce"], asked["response_type"]) == (WAY.state, WAY.nonce, "code")
    assert asked["code_challenge"] == create_s256_code_challenge(WAY.verifier)
    assert asked["code_challenge_method"] == "S256"
    assert WAY.verifier not in url.query
    assert asked["ui_locales"] == "zh-CN"


@pytest.mark.parametrize(
    "token",
    [
        lambda: signed(claims(nonce="another")),
        lambda: signed(claims(nonce=None)),
        lambda: signed(claims(aud="another")),
        lambda: signed(claims(aud=["sidegate", "another"])),
        lambda: signed(claims(aud=["sidegate", "another"], azp="another")),
        lambda: signed(claims(aud=None)),
        lambda: signed(claims(iss="https://evil.test")),
        lambda: signed(claims(iss=None)),
        lambda: signed(claims(exp=int(time.time()) - 3600)),
        lambda: signed(claims(exp=None)),
        lambda: signed(claims(iat=int(time.time()) + 3600)),
        lambda: signed(claims(nbf=int(time.time()) + 3600)),
        lambda: signed(claims(sub=None)),
        lambda: signed(claims(sub="")),
        lambda: signed(claims(at_hash="AAAAAAAAAAAAAAAAAAAAAA")),
        lambda: signed(claims(), OTHER_KEY),
        lambda: unsigned(claims()),
        lambda: signed_with_what_everybody_knows(claims()),
        lambda: signed_with_the_consoles_secret(claims()),
        lambda: signed(claims())[:-2],
        lambda: "no token",
        lambda: "",
        lambda: None,
        lambda: 7,
    ],
)
async def test_a_token_that_is_anothers_old_or_not_the_providers_proves_nothing(
    login: Login, token: Callable[[], str]
) -> None:
    login.token = token
    with pytest.raises(Unproven):
        await login.who()


async def test_a_key_that_the_provider_has_since_a_moment_ago_is_asked_for(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    await login.who()
    new = RSAKey.generate_key(2048, {"kid": "two"})
    login.token = lambda: jwt.encode({"alg": "RS256", "kid": "two"}, claims(), new)
    login.answers["/keys"] = lambda: httpx.Response(200, json={"keys": [new.as_dict(private=False)]})
    with pytest.raises(Unproven):
        await login.who()
    monkeypatch.setattr("services.console.signing_in.provider.AGAIN_SECONDS", 0)
    assert (await login.who())["sub"] == "ann"


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://evil.test"},
        {"issuer": None},
        {"token_endpoint": "http://login.test/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
async def test_a_provider_that_says_of_itself_what_cannot_be_is_as_good_as_away(login: Login, about: Claims) -> None:
    login.about |= about
    with pytest.raises(Away):
        await login.provider.where(WAY, "https://console.test/back", "en")


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(500, text="oh dear"),
        lambda: httpx.Response(302, headers={"location": "https://evil.test/"}),
        lambda: httpx.Response(200, text="<html>"),
        lambda: httpx.Response(200, json=["a list"]),
        lambda: httpx.Response(200, content=b"x" * (LONGEST + 1)),
    ],
    ids=["broken", "elsewhere", "html", "list", "long"],
)
async def test_whatever_else_a_provider_answers_lets_nobody_in(
    login: Login, path: str, answer: Callable[[], httpx.Response]
) -> None:
    login.answers[path] = answer
    with pytest.raises((Away, Refused)):
        await login.who()


async def test_a_code_that_was_used_is_refused_in_the_providers_word(login: Login) -> None:
    login.answers["/token"] = lambda: httpx.Response(400, json={"error": "invalid_grant"})
    with pytest.raises(Refused, match="invalid_grant"):
        await login.who()


async def test_a_provider_that_takes_its_time_is_away(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.console.signing_in.provider.SECONDS", 0.01)

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    login.provider = Provider(KNOWN, httpx.MockTransport(never))
    with pytest.raises(Away):
        await login.who()


def test_a_way_is_walked_by_who_set_out_on_it_once_and_soon() -> None:
    now = [1000.0]
    ways = Ways(lambda: now[0])
    way = ways.begin("visit")
    for state, visit in (
        (way.state, "another"),
        (way.state, ""),
        (f"{way.state}x", "visit"),
        ("", "visit"),
        ("é", "é"),
    ):
        with pytest.raises(Astray):
            ways.back(state, visit)
    with pytest.raises(Astray):
        Ways(lambda: now[0]).back(way.state, "visit")
    assert ways.back(way.state, "visit") == way
    with pytest.raises(Astray):
        ways.back(way.state, "visit")
    late = ways.begin("visit")
    now[0] += LONGEST_SECONDS + 1
    with pytest.raises(Astray):
        ways.back(late.state, "visit")


def test_no_two_ways_have_anything_in_common() -> None:
    ways = Ways()
    many = [ways.begin("visit") for _ in range(50)]
    said = [each for way in many for each in (way.state, way.nonce, way.verifier)]
    assert len(set(said)) == 150
    assert all(len(way.verifier) >= 43 for way in many)


@pytest.fixture
async def visitor(login: Login, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Of a console that has this provider, and nobody in its file."""
    people = tmp_path / "people.toml"
    people.write_text("")
    people.chmod(0o600)
    by = ByProvider(login.provider, people, Ways())
    console = Console(Ports(Places("127.0.0.1:1", "127.0.0.1:1", "", b""), "local", by_provider=by))
    transport = httpx.ASGITransport(console.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="https://console.test") as client:
        yield client
    await console.close()


async def set_out(visitor: httpx.AsyncClient, login: Login, onward: str = "/vpcs") -> str:
    """The state, and a token for its nonce."""
    away = await visitor.get("/sign-in/provider", params={"next": onward})
    assert away.status_code == 303
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["redirect_uri"] == [f"https://console.test{BACK}"]
    login.token = lambda: signed(claims(nonce=asked["nonce"][0]))
    return asked["state"][0]


def reason(answer: httpx.Response) -> str:
    return answer.text.partition('data-reason="')[2].partition('"')[0]


async def test_who_is_not_in_the_file_is_told_so_and_may_come_in_by_a_key(
    visitor: httpx.AsyncClient, login: Login
) -> None:
    assert "Sign in with Example Login" in (await visitor.get("/sign-in")).text
    state = await set_out(visitor, login)
    answer = await visitor.get(BACK, params={"code": "c", "state": state})
    assert (answer.status_code, reason(answer)) == (403, "UNKNOWN_PERSON")
    assert 'name="next" value="/vpcs"' in answer.text


async def test_an_answer_is_taken_in_the_browser_that_asked_and_once(visitor: httpx.AsyncClient, login: Login) -> None:
    state = await set_out(visitor, login)
    mine = dict(visitor.cookies)
    visitor.cookies.clear()
    stolen = await visitor.get(BACK, params={"code": "c", "state": state})
    assert (stolen.status_code, reason(stolen)) == (403, "ASTRAY")
    visitor.cookies.update({**mine, VISIT: "x" * 43})
    foreign = await visitor.get(BACK, params={"code": "c", "state": state})
    assert (foreign.status_code, reason(foreign)) == (403, "ASTRAY")
    visitor.cookies.clear()
    visitor.cookies.update(mine)
    assert reason(await visitor.get(BACK, params={"code": "c", "state": state})) == "UNKNOWN_PERSON"
    again = await visitor.get(BACK, params={"code": "c", "state": state})
    assert (again.status_code, reason(again)) == (403, "ASTRAY")
    assert len([request for request in login.asked if request.url.path == "/token"]) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"error": "access_denied"}, "DENIED"),
        ({"error": '"><script>alert(1)</script>'}, "DENIED"),
        ({}, "DENIED"),
        ({"code": "c", "iss": "https://evil.test"}, "ASTRAY"),
        ({"code": "c", "state": "another"}, "ASTRAY"),
    ],
)
async def test_an_answer_without_a_code_or_of_another_provider_is_said_in_words(
    visitor: httpx.AsyncClient, login: Login, said: dict[str, str], why: str
) -> None:
    state = await set_out(visitor, login)
    answer = await visitor.get(BACK, params={"state": state, **said}, headers={"accept-language": "zh-CN"})
    assert (answer.status_code, reason(answer)) == (403, why)
    assert 'lang="zh-CN"' in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("onward", ["https://evil.test/", "//evil.test", "/\\evil.test", "/\n/evil.test"])
async def test_the_way_leads_back_to_a_page_of_ours_alone(
    visitor: httpx.AsyncClient, login: Login, onward: str
) -> None:
    state = await set_out(visitor, login, onward)
    assert 'name="next" value="/"' in (await visitor.get(BACK, params={"code": "c", "state": state})).text


async def test_attempts_in_vain_are_limited_here_too(visitor: httpx.AsyncClient, login: Login) -> None:
    login.answers["/token"] = lambda: httpx.Response(400, json={"error": "invalid_grant"})
    states = [await set_out(visitor, login) for _ in range(21)]
    said = [reason(await visitor.get(BACK, params={"code": "c", "state": state})) for state in states]
    assert said == ["DENIED"] * 20 + ["TOO_MANY_ATTEMPTS"]


async def test_a_provider_that_is_away_is_said_and_keys_go_on(visitor: httpx.AsyncClient, login: Login) -> None:
    login.about = json.loads("{}")
    answer = await visitor.get("/sign-in/provider", params={"next": "/vpcs"})
    assert (answer.status_code, reason(answer)) == (503, "PROVIDER_AWAY")
    assert 'id="access_key"' in answer.text
