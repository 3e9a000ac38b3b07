"""How calls are let in: by tokens that are had for a credential, by a program's certificate, or at a unix socket."""

import asyncio
import re
import secrets
import time

import grpc

from sidegate import errors
from sidegate.api.registry.v1 import account_service_pb2 as token_pb2
from sidegate.api.registry.v1.account_service_pb2_grpc import TokenServiceStub
from sidegate.channels import Credentials
from sidegate.credentials import Credential
from sidegate.transport import Caller, Metadata

RENEWED_BEFORE_SECONDS = 120
"""A token that ends so soon is not used any more."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class Untold:
    """Nothing to prove: a unix socket lets in whoever may open it; getting a token is what proves everything else."""

    def __init__(self, credentials: Credentials = None) -> None:
        self.credentials = credentials

    async def metadata(self) -> Metadata:
        return ()

    def refused(self) -> bool:
        return False


class Certified(Untold):
    """A program's certificate: TLS proves all of it. What gives the one of the moment is asked at each call."""


class Tokens:
    """Tokens of one credential, from the registry at "host:port": had when first needed, renewed before they end."""

    def __init__(self, registry: str, credential: Credential, credentials: grpc.ChannelCredentials) -> None:
        self._caller = Caller(registry, Untold(credentials))
        self._stub = TokenServiceStub(self._caller.channel)
        self._credential = credential
        self._turn = asyncio.Lock()
        self._token, self._ends = "", 0.0

    async def token(self) -> str:
        """One that is good for minutes. Raises SidegateError."""
        async with self._turn:
            if self._ends - time.time() < RENEWED_BEFORE_SECONDS:
                await self._renew()
            return self._token

    def refused(self) -> bool:
        """Whether the token in hand was older than a moment: then another may be worth more."""
        had, self._ends = self._ends, 0.0
        return had > 0

    async def _renew(self) -> None:
        now, nonce = int(time.time()), secrets.token_bytes(16)
        request = token_pb2.IssueTokenRequest(
            access_key=self._credential.access_key,
            timestamp=now,
            nonce=nonce,
            signature=self._credential.sign(now, nonce),
        )
        try:
            answer = await self._caller.ask(self._stub.IssueToken, request)
        except errors.Unauthenticated as error:
            text = f"access key {self._credential.access_key} gets no token: it is unknown or revoked, its secret is "
            raise errors.Unauthenticated(
                f"{text}another, or this machine's clock is off", reason=error.reason
            ) from error
        self._token, self._ends = answer.token, answer.expire_time.seconds

    async def close(self) -> None:
        await self._caller.close()


class Speaking:
    """A bearer of tokens, in the name of an account and project: its own where none is named.

    Only the operator may name another. Raises InvalidRequest for what is no name.
    """

    def __init__(
        self, tokens: Tokens, credentials: grpc.ChannelCredentials, account: str = "", project: str = ""
    ) -> None:
        named = {"account": account, "project": project}
        for field, name in named.items():
            if name and not NAME.fullmatch(name):
                text = f"{name!r} is no {field}: 1 to 63 letters, digits, '_' and '-'"
                raise errors.InvalidRequest(text, reason="BAD_PRINCIPAL", field=field)
        self.credentials, self._tokens = credentials, tokens
        self._named = tuple((f"sidegate-{field}", name) for field, name in named.items() if name)

    async def metadata(self) -> Metadata:
        return (("authorization", f"Bearer {await self._tokens.token()}"), *self._named)

    def refused(self) -> bool:
        return self._tokens.refused()
