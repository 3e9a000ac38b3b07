"""Use cases of credentials for projects' own programs."""

from collections.abc import Sequence
from typing import Protocol

from services.common.errors import Invalid
from services.common.etags import revision_of, stamped
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.selection import Found, Selection, Window
from services.common.principal import Principal
from services.registry.application.inventory import Inventory
from services.registry.application.streams import Streams, explained, new_id, stream
from services.registry.domain import credential as domain
from services.registry.domain.credential import Create, Credential, Revoke
from services.registry.projections import CREDENTIAL, Resources
from services.registry.wire.credentials import credential_message, credential_of
from services.registry.wire.envelope import nanoseconds
from sidegate.api.registry.v1 import credential_pb2, credential_service_pb2
from sidegate.nkeys import Role, is_public

SECOND = 10**9


class Signer(Protocol):
    """Says for the subscribers' account who is a user of it."""

    def user(self, key: str, credential: str, until: int) -> str: ...


class Credentials:
    def __init__(self, streams: Streams, resources: Resources, signer: Signer) -> None:
        self._streams, self._resources, self._signer = streams, resources, signer
        self._inventory = Inventory(resources)

    async def create(
        self, wanted: credential_pb2.EventsCredential, context: CommandContext
    ) -> credential_service_pb2.CreateEventsCredentialResponse:
        if not is_public(wanted.public_key, Role.USER):
            text = "it is no public key of a user of NATS: U and 55 more letters and digits"
            raise Invalid("KEY_INVALID", text, field="credential.public_key")
        until = nanoseconds(wanted.expire_time)
        owner = Principal(context.principal.account, context.principal.project)
        made = Credential(new_id(context), owner, wanted.public_key, context.at_ns, until)
        with explained():
            outcome = await self._streams.credentials.execute(
                stream("credential", made.id), Create(made), context, lambda state, _: self._answer(state)
            )
        told = credential_service_pb2.CreateEventsCredentialResponse.FromString(outcome.response)
        if context.validate_only:
            told.jwt = ""  # nobody would know of its user, to revoke it
        return told

    async def listed(
        self, caller: Principal, window: Window, newest_first: bool = False
    ) -> Found[credential_pb2.EventsCredential]:
        selection = Selection(newest_first=newest_first)
        found = await self._inventory.listed(CREDENTIAL, caller, window, selection=selection)
        return Found([(at, stamped(each)) for at, each in found.rows], found.total)

    async def revoke(self, id_: str, context: CommandContext) -> credential_pb2.EventsCredential:
        await self._inventory.owned(CREDENTIAL, id_, context.principal)
        outcome = await self._streams.credentials.execute(
            stream("credential", id_),
            Revoke(context.at_ns),
            context,
            lambda state, _: _shown(state).SerializeToString(deterministic=True),
            revision=lambda state, _: revision_of(credential_message(domain.of(state))),
        )
        return credential_pb2.EventsCredential.FromString(outcome.response)

    async def all(self) -> Sequence[Credential]:
        """Those of every project."""
        found = await self._resources.read(lambda now: list(now.all(CREDENTIAL, states=())))
        return [credential_of(each) for each in found]

    def _answer(self, state: domain.State) -> bytes:
        credential = domain.of(state)
        jwt = self._signer.user(credential.public_key, credential.id, credential.expires_at // SECOND)
        response = credential_service_pb2.CreateEventsCredentialResponse(credential=_shown(state), jwt=jwt)
        return response.SerializeToString(deterministic=True)


def _shown(state: domain.State) -> credential_pb2.EventsCredential:
    return stamped(credential_message(domain.of(state)))
