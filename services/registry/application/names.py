"""Use cases of services' private names: given with a service, and shown to be its owner's by a TXT record."""

import secrets
from asyncio import Semaphore
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from services.common.errors import NotFound, WrongState
from services.common.eventsourcing.context import CommandContext
from services.registry.application.inventory import Inventory
from services.registry.application.streams import Streams, explained, stream
from services.registry.domain import service as domain
from services.registry.domain.private_name import FIELD, UNNAMED, PrivateName, Unnamed
from services.registry.domain.proof import Found, Unanswered, missing
from services.registry.domain.service_commands import VerifyName
from services.registry.projections import SERVICE
from services.registry.wire.services import service_message, shown
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

LookUp = Callable[[str], Awaitable[Found]]
"""What the TXT records of a name say."""


LOOKUPS_OF_AN_ACCOUNT = 4
"""At once."""


async def nowhere(_name: str) -> Found:
    """For a registry that asks no name servers."""
    return Unanswered("no name servers are set")


class Names:
    def __init__(self, streams: Streams, inventory: Inventory, look_up: LookUp) -> None:
        self._streams, self._inventory, self._look_up = streams, inventory, look_up
        self._turns: WeakValueDictionary[str, Semaphore] = WeakValueDictionary()

    async def verify(self, service_id: str, context: CommandContext) -> EndpointService:
        """Looks its private name's record up. Raises WrongState or AlreadyExists, which say why it is not shown."""
        if (first := await self._streams.first_answer(context)) is not None:
            return EndpointService.FromString(first)
        await self._inventory.owned(SERVICE, service_id, context.principal)
        state, _ = await self._streams.services.load(stream("service", service_id))
        if isinstance(state, domain.Absent):
            raise NotFound(SERVICE.name, service_id)
        named = state.service.private_name
        if isinstance(named, Unnamed):
            text = (
                f"service {service_id} has no private name: `sidegate service update {service_id} --private-name NAME`"
            )
            raise WrongState("NO_PRIVATE_NAME", text, field=FIELD)
        if not named.verified_at:
            # Whether another has the name is told by its claim, at the end: to whoever has shown it to be his, alone.
            # In turn, so that whoever's name servers are slow keeps his own account waiting and nobody else's.
            async with self._turns.setdefault(context.principal.account, Semaphore(LOOKUPS_OF_AN_ACCOUNT)):
                found = await self._look_up(named.record)
            if (refusal := missing(named, found)) is not None:
                raise refusal
        with explained():
            outcome = await self._streams.services.execute(
                stream("service", service_id), VerifyName(named, context.at_ns), context, _rendered
            )
        return EndpointService.FromString(outcome.response)


def new_name(name: str) -> PrivateName | Unnamed:
    """A name that is yet to be shown, by a value that nobody has guessed before it is told."""
    return PrivateName(name, f"sidegate-verification={secrets.token_hex(16)}") if name else UNNAMED


def _rendered(state: domain.State, _version: int) -> bytes:
    return shown(service_message(state)).SerializeToString(deterministic=True)
