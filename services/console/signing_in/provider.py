"""The OpenID provider: where people are sent, and what its answer proves. All that it says is checked."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from services.console.signing_in.keys import InVain
from services.console.signing_in.ways import Way

SECONDS = 10.0
"""In which all questions to the provider for one sign-in are answered, or it is away."""

LONGEST = 262_144
FRESH_SECONDS = 600.0
AGAIN_SECONDS = 10.0
LEEWAY_SECONDS = 60
SCOPES = "openid profile email"
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Of signatures that only the provider can make: with HS256, whoever has the console's secret could, too."""

Claims = Mapping[str, Any]


class Away(Exception):
    """It does not answer, or not as an OpenID provider does."""


class Refused(InVain):
    """It answers, and gives nothing for what it was brought: a code that was used, or that is another's."""


class Unproven(InVain):
    """It answers, and its answer proves nobody to be anybody."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the console is at the provider, and where that is. `name` is what people call it; `ca` a file (PEM)."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    name: str = ""
    ca: str | None = None

    @property
    def called(self) -> str:
        return self.name or str(urlsplit(self.issuer).netloc)


class Provider:
    """What it says of itself is asked for when it is needed, and kept for ten minutes."""

    def __init__(self, known: Known, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.known = known
        trust = ssl.create_default_context(cafile=known.ca)
        self._http = httpx.AsyncClient(verify=trust, timeout=SECONDS / 2, transport=transport)
        self._metadata: tuple[float, Claims] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def close(self) -> None:
        await self._http.aclose()

    async def where(self, way: Way, back: str, languages: str) -> str:
        """The provider's page that somebody is sent to, to come back to the URL `back`. Raises Away."""
        try:
            async with asyncio.timeout(SECONDS):
                metadata = await self._about()
        except TimeoutError:
            raise Away("it took too long") from None
        return str(
            prepare_grant_uri(
                metadata["authorization_endpoint"],
                self.known.client_id,
                "code",
                back,
                SCOPES,
                way.state,
                nonce=way.nonce,
                code_challenge=create_s256_code_challenge(way.verifier),
                code_challenge_method="S256",
                ui_locales=languages,
            )
        )

    async def who(self, code: str, way: Way, back: str) -> Claims:
        """What the ID token says that the code is given for, once it is proven. Raises Away, Refused and Unproven."""
        try:
            async with asyncio.timeout(SECONDS):
                metadata = await self._about()
                answer = await self._token(metadata, code, way, back)
                return await self._proven(metadata, answer, way)
        except TimeoutError:
            raise Away("it took too long") from None

    async def _token(self, metadata: Claims, code: str, way: Way, back: str) -> Claims:
        known, said = self.known, metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in said else "client_secret_post"
        body = prepare_token_request("authorization_code", "", back, code=code, code_verifier=way.verifier)
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        auth = ClientAuth(known.client_id, known.secret, method)
        url, headers, body = auth.prepare("POST", metadata["token_endpoint"], headers, body)
        return await self._asked("POST", url, headers=headers, form=body)

    async def _proven(self, metadata: Claims, answer: Claims, way: Way) -> Claims:
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unproven("there is no ID token")
        said = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        registry = JWSRegistry(algorithms=sorted(ALGORITHMS & set(said)), strict_check_header=False)
        try:
            try:
                found = jwt.decode(token, await self._key_set(metadata, FRESH_SECONDS), registry=registry)
            except InvalidKeyIdError:  # the provider may have a new key since
                found = jwt.decode(token, await self._key_set(metadata, AGAIN_SECONDS), registry=registry)
            claims = CodeIDToken(
                found.claims,
                found.header,
                {
                    "iss": {"essential": True, "value": self.known.issuer},
                    "aud": {"essential": True, "value": self.known.client_id},
                    "sub": {"essential": True, "allow_blank": False},
                },
                {"nonce": way.nonce, "client_id": self.known.client_id, "access_token": answer.get("access_token")},
            )
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise Unproven(f"its ID token is refused: {type(error).__name__}: {error}"[:300]) from None
        return dict(claims)

    async def _about(self) -> Claims:
        if self._metadata and time.monotonic() - self._metadata[0] < FRESH_SECONDS:
            return self._metadata[1]
        metadata = await self._asked("GET", get_well_known_url(self.known.issuer, external=True))
        if metadata.get("issuer") != self.known.issuer:
            raise Away("it calls itself by another name than the issuer that is configured")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not str(metadata.get(name, "")).startswith("https://"):
                raise Away(f"its {name} is no https URL")
        self._metadata = (time.monotonic(), metadata)
        return metadata

    async def _key_set(self, metadata: Claims, fresh: float) -> KeySet:
        if self._keys and time.monotonic() - self._keys[0] < fresh:
            return self._keys[1]
        said = (await self._asked("GET", metadata["jwks_uri"])).get("keys")
        keys: Sequence[Any] = said if isinstance(said, list) else []
        public = [key for key in keys if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP")]
        try:
            found = KeySet.import_key_set({"keys": public})
        except (JoseError, ValueError, TypeError, KeyError):
            raise Away("its keys cannot be read") from None
        self._keys = (time.monotonic(), found)
        return found

    async def _asked(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, form: str | None = None
    ) -> Claims:
        """A JSON object, of no more than 256 KiB. A redirection is none."""
        try:
            async with self._http.stream(method, url, headers=headers, content=form) as response:
                content = bytearray()
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > LONGEST:
                        raise Away("its answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Away(f"{type(error).__name__}: {error}") from None
        try:
            said = json.loads(content)
        except ValueError:
            said = None
        if response.status_code != 200 and method == "POST" and response.status_code < 500:
            raise Refused(str(said.get("error", ""))[:100] if isinstance(said, dict) else "")
        if response.status_code != 200 or not isinstance(said, dict):
            raise Away(f"it answered {response.status_code}, and not with what it was asked for")
        return said
