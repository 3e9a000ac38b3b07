"""Many endpoints in a system that is real: one of each service is asked for and accepted, the others are like them.

They come in by the log: decided by the same functions as those of callers, stored by the same store with claims and
counters, only not one call after another. The registry has no addresses reserved for them.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import islice
from pathlib import Path
from uuid import UUID

from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.decision import decide
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Append, NoStream
from services.common.principal import Principal
from services.common.rpc.records import event_meta
from services.endpoint.application.sources import random_marker
from services.endpoint.application.streams import Streams
from services.endpoint.domain.endpoint import Absent, State
from services.endpoint.domain.endpoint_commands import ConfirmForwarding, Request
from services.endpoint.domain.endpoint_decisions import ENDPOINT
from services.endpoint.domain.facts import Facts, SourceLease
from services.endpoint.domain.source_addresses import FIRST, SIZE
from services.endpoint.projections import TABLE
from services.endpoint.wire.endpoint import EndpointCodec
from services.endpoint.wire.stored import endpoint_stream
from tests.support import namespaces
from tests.support.standalone import Standalone
from tests.support.world import site

ACCOUNT = "crowd"
"""Whose project `default` has OURS of them; of the other projects each has THEIRS."""

OURS, THEIRS = 500, 20
OF_A_SERVICE = 30_000
"""Endpoints of a service at most: its VPC has source addresses for 32,766."""

PATIENCE = 600
"""Seconds for a system to start: its gateway has the whole table to put into the kernel."""

AT_ONCE = 256
ADDRESS = IPv4Address("10.64.0.1")
"""From here on: the first endpoints are in 10.0.0.0/24."""


@asynccontextmanager
async def crowded(
    directory: Path, endpoints: int, databases: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Standalone, Sequence[str]]]:
    """A running standalone with so many accepted endpoints in its one cell, and the ids of those of ACCOUNT."""
    async with contextlib.AsyncExitStack() as stack:
        providers = [f"provider{number}" for number in range(-(-endpoints // OF_A_SERVICE))]
        spaces = stack.enter_context(namespaces.make("crowd", *providers))
        sidegate = Standalone(directory, databases=databases, start_seconds=PATIENCE)
        async with sidegate:
            first = await _first_of_each(sidegate, spaces)
        store = await SqlStore.open(sidegate.database("endpoint"), projections=[TABLE], program="endpoint")
        try:
            ids = await fill(store, first, endpoints)
        finally:
            await store.close()
        yield await stack.enter_async_context(sidegate), ids


async def _first_of_each(sidegate: Standalone, spaces: Sequence[namespaces.Namespace]) -> Sequence[str]:
    made = []
    async with contextlib.AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(site(sidegate, ACCOUNT, spaces[0]))
        for number, space in enumerate(spaces[1:]):
            provider = await stack.enter_async_context(site(sidegate, f"provider{number}", space))
            service = await provider.publish("web", approval=False)
            await provider.client.services.permit(service.id, ["iam:domain::*"])
            made.append((await consumer.accepted(await consumer.request(service))).id)
    return made


async def fill(store: SqlStore, first: Sequence[str], count: int) -> Sequence[str]:
    """Makes them like the `first` ones, by turns; gives the ids of those of ACCOUNT."""
    streams = Streams(store)
    known = [(await streams.endpoints.load(endpoint_stream(id_)))[0] for id_ in first]
    facts = _facts([state.facts for state in known if not isinstance(state, Absent)], count)
    ours = []
    while some := list(islice(facts, AT_ONCE)):
        await asyncio.gather(*(store.append(accepted(each)) for each in some))
        ours += [each.id for each in some if each.owner.account == ACCOUNT]
    return ours


def _facts(first: Sequence[Facts], count: int) -> Iterator[Facts]:
    draw = random.Random(1)  # noqa: S311 - it hides nothing
    for number in range(count):
        like, turn = first[number % len(first)], number // len(first)
        id_ = str(UUID(int=draw.getrandbits(128), version=4))
        ours = number < OURS
        yield replace(
            like,
            id=id_,
            owner=Principal(ACCOUNT if ours else f"{ACCOUNT}-{number // THEIRS}", "default"),
            name=f"number-{number}",
            address=ADDRESS + number,
            port=id_,
            marker=random_marker(),
            # From the end: the first ones have theirs from the middle of the range.
            sources=tuple(SourceLease(each.gateway, _source(like, turn)) for each in like.sources),
            created_at=time.time_ns(),
            generation=1,
            admission=0,
            version=1,
        )


def _source(like: Facts, turn: int) -> IPv4Address:
    held = {each.address for each in like.sources}
    found = FIRST + turn % SIZE
    return FIRST + SIZE - 1 if found in held else found


def _generation(state: State) -> int:
    return 0 if isinstance(state, Absent) else state.facts.generation


def accepted(facts: Facts) -> Append:
    """All that happens to an endpoint until packets pass, as one append."""
    requested = decide(ENDPOINT, Request(facts, approval_required=False), ENDPOINT.initial)
    active = decide(ENDPOINT, ConfirmForwarding(facts.created_at, _generation(requested.state)), requested.state)
    codec, context = EndpointCodec(), CommandContext(facts.owner, facts.created_at, method="CreateEndpoint")
    return Append(
        stream=endpoint_stream(facts.id),
        expected=NoStream(),
        events=[codec.encode(event, state) for event, state in (*requested.events, *active.events)],
        at=facts.created_at,
        partition=codec.partition(active.state),
        meta=event_meta(context),
        constraints=requested.constraints + active.constraints,
    )
