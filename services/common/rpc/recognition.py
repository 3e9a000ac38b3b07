"""The ways to prove who one is to a service: a token, or a certificate."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from urllib.parse import urlsplit

from services.common.identity.attempts import BURST, EVERY_SECONDS, Buckets
from services.common.identity.tokens import FORGED, Bearer, Untrusted, Verifier, claimed_by
from services.common.principal import OPERATOR, SYSTEM, Identity, Principal, Role
from services.common.rpc.auth import Metadata, NotProved
from services.common.rpc.calls import Context
from services.common.rpc.permissions import NotAllowed

TOKEN_KEY = "authorization"  # noqa: S105 # a metadata key
SCHEME = "Bearer "
ACCOUNT_KEY = "sidegate-account"
PROJECT_KEY = "sidegate-project"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
DEFAULT_PROJECT = "default"
SERVICES = {"registry": Role.REGISTRY, "endpoint": Role.ENDPOINT, "http_api": Role.HTTP_API}


class Tokens:
    """Who carries a token. Forgeries in the name of one key from one address are limited, as guesses are."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._forgeries = Buckets(BURST, EVERY_SECONDS)

    async def bearer(self, token: str, address: str) -> Bearer:
        """One that is known is taken at once: forgeries in the name of its key hinder nobody who has it.

        Raises NotProved.
        """
        if self._verifier.knows(token):
            return await self._proved(token)
        claimed = claimed_by(token)
        suspect = f"{address} {claimed}"
        if self._forgeries.empty(suspect):
            raise NotProved("TOO_MANY_ATTEMPTS", claimed)
        try:
            return await self._proved(token, claimed)
        except NotProved as error:
            if error.why == FORGED:
                self._forgeries.take(suspect)
            raise

    async def _proved(self, token: str, claimed: str = "") -> Bearer:
        try:
            return await self._verifier.bearer(token)
        except Untrusted as error:
            raise NotProved(str(error), claimed) from None


class Bearers:
    """Tokens. The operator's lets it act for another account, which it names; others are whom their token says."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier, self._tokens = verifier, Tokens(verifier)

    async def identify(self, metadata: Metadata, context: Context) -> Identity:
        said = metadata.get(TOKEN_KEY, "")
        if not said.startswith(SCHEME):
            raise NotProved("NO_TOKEN")
        bearer = await self._tokens.bearer(said.removeprefix(SCHEME), str(context.peer()).rpartition(":")[0])
        return Identity(self._principal(bearer, metadata), bearer.role, generation=bearer.generation)

    def lease(self, identity: Identity, over: Callable[[], None]) -> AbstractContextManager[None]:
        return self._verifier.lease(identity.principal.access_key, identity.generation, over)

    def _principal(self, bearer: Bearer, metadata: Metadata) -> Principal:
        own = Principal(bearer.account, bearer.project, access_key=bearer.access_key)
        account = metadata.get(ACCOUNT_KEY, bearer.account)
        project = metadata.get(PROJECT_KEY, bearer.project if account == bearer.account else DEFAULT_PROJECT)
        if (account, project) == (bearer.account, bearer.project):
            return own
        if (
            bearer.role is not Role.OPERATOR
            or account == SYSTEM
            or not (NAME.fullmatch(account) and NAME.fullmatch(project))
        ):
            raise Overreach(own, account)
        acting = bearer.account if account != OPERATOR else ""
        return Principal(account, project, acting=acting, access_key=bearer.access_key)


class Overreach(NotAllowed):
    """A token that is used for another account than its own."""

    why = "OTHER_ACCOUNT"

    def __init__(self, own: Principal, account: str) -> None:
        super().__init__("account", account)
        self.claimed = own.access_key


class Programs:
    """Programs' certificates, which TLS has verified: a URI in them names a program or a gateway of our region."""

    def __init__(self, region: str) -> None:
        self._region = region

    async def identify(self, metadata: Metadata, context: Context) -> Identity:
        uris = context.auth_context().get("peer_uri", ())
        for uri in uris:
            if found := self._named(urlsplit(bytes(uri).decode(errors="replace"))):
                return found
        raise NotProved("NO_PROGRAM" if uris else "NO_CERTIFICATE")

    def lease(self, _identity: Identity, _over: Callable[[], None]) -> AbstractContextManager[None]:
        """A certificate ends by its date alone."""
        return nullcontext()

    def _named(self, uri: object) -> Identity | None:
        scheme, region, path = getattr(uri, "scheme", ""), getattr(uri, "netloc", ""), getattr(uri, "path", "")
        if (scheme, region) != ("spiffe", self._region):
            return None
        match str(path).split("/"):
            case ["", "svc", program] if program in SERVICES:
                return Identity(Principal(SYSTEM, program), SERVICES[program])
            case ["", "gw", cell, gateway] if NAME.fullmatch(gateway):
                return Identity(Principal(SYSTEM, gateway), Role.GATEWAY, cell)
            case _:
                return None
