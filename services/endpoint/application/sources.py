"""Source addresses for endpoints, claimed where they are written; markers likewise."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

import structlog

from services.common.errors import QuotaReached
from services.common.eventsourcing.store import AlreadyClaimed, EventStore
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain import source_addresses
from services.endpoint.domain.endpoint import SOURCE_ADDRESS
from services.endpoint.domain.endpoint_commands import LeaseSource
from services.endpoint.domain.facts import Facts
from services.endpoint.projections import ENDPOINT, LIVE
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.stored import endpoint_stream

MARKERS = 2**53
log = structlog.get_logger(__name__)


def random_marker() -> int:
    """A marker id nobody can guess another from: 1 to 2^53 - 1."""
    return secrets.randbelow(MARKERS - 1) + 1


class Sources:
    """Gives gateways source addresses for endpoints."""

    def __init__(self, store: EventStore, streams: Streams, rows: Rows, clock: Callable[[], int]) -> None:
        self._store = store
        self._streams = streams
        self._rows = rows
        self._clock = clock

    async def taken(self, provider_vpc: str) -> set[str]:
        """The source addresses in use in a provider's VPC."""
        holders = await self._store.holders(SOURCE_ADDRESS, f"{provider_vpc}/")
        return {key.rpartition("/")[2] for key in holders}

    async def lease_all(self, cell: str, gateway: str) -> None:
        """Gives the gateway an address for each live endpoint of the cell that it has none for."""
        taken: dict[str, set[str]] = {}
        async for rows in self._rows.batches(ENDPOINT, partition=cell, states=LIVE):
            facts = [state_of(row.data).facts for row in rows]
            lacking = [each for each in facts if all(held.gateway != gateway for held in each.sources)]
            for vpc in {each.placement.provider_vpc for each in lacking} - taken.keys():
                taken[vpc] = await self.taken(vpc)
            await asyncio.gather(*(self._lease(each, gateway, taken[each.placement.provider_vpc]) for each in lacking))

    async def _lease(self, facts: Facts, gateway: str, taken: set[str]) -> None:
        """Gives the gateway an address for the endpoint, if there is one; notes it, and what turns out to be taken."""
        while True:
            try:
                (lease,) = source_addresses.leases(facts.id, [gateway], taken)
            except QuotaReached as refusal:
                log.warning("an endpoint has no source address", endpoint=facts.id, gateway=gateway, why=refusal.text)
                return
            taken.add(str(lease.address))
            command = LeaseSource(self._clock(), lease)
            context = on_our_own("LeaseSource", command.at)
            with suppress(AlreadyClaimed):
                await self._streams.endpoints.execute(endpoint_stream(facts.id), command, context, no_answer)
                return
