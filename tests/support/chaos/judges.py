"""What is looked at when everything runs again: the logs, the read tables, the kernel, and packets."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from sqlalchemy import Connection, select

from services.common.eventsourcing.projection import Projection
from services.common.eventsourcing.sql_store import SqlStore
from services.endpoint.projections import TABLE
from services.registry.projections import projections
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.events.v1.log_pb2 import EventMeta
from sidegate.client import Client
from sidegate.resources.logs import LogName
from tests.support.chaos.traffic import LIFE, Answered, Deed
from tests.support.standalone import Standalone, until
from tests.support.world import Site, eventually_answers, who_answers

SETTLED = 90.0
"""Seconds until everything that was begun is at its end."""

ACCEPTED = ConnectionState.CONNECTION_STATE_ACCEPTED
DELETING = ConnectionState.CONNECTION_STATE_DELETING
ON_THE_WAY = {ConnectionState.CONNECTION_STATE_CREATING, DELETING}
PROJECTED: Mapping[str, Sequence[Projection]] = {"registry": projections(), "endpoint": [TABLE]}


class Judges:
    def __init__(self, sidegate: Standalone, consumer: Site, answered: Answered) -> None:
        self._sidegate, self._consumer, self._answered = sidegate, consumer, answered

    async def look(self) -> None:
        """Everything that the programs can be asked for."""
        there = await until("every endpoint to be at its end", self._at_rest, SETTLED)
        self._answers_fit(there)
        async with self._sidegate.client("operator") as operator:
            await self._endpoint_log_fits(operator)
            await self._registry_log_fits(operator)
        await until("the kernel to be as the log says", self._forwarded_as_logged, SETTLED)
        verified = await asyncio.to_thread(self._sidegate.cli, "audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        await self._packets_fit(there)

    async def rebuild(self) -> None:
        """With the programs ended: read tables that are made anew from the logs are what they were."""
        for program in PROJECTED:
            await rebuilt_is_live(self._sidegate.database(program), program)

    async def _at_rest(self) -> dict[str, Endpoint]:
        """The endpoints that are there; nothing while one of them is on its way."""
        try:
            there = {each.id: each async for each in self._consumer.client.endpoints.list()}
        except errors.Unavailable:
            return {}
        return {} if any(each.state in ON_THE_WAY for each in there.values()) else there

    def _answers_fit(self, there: Mapping[str, Endpoint]) -> None:
        """Some order of the commands explains every answer, and the state that each endpoint ended in."""
        for id_ in self._answered.addresses:
            state = there[id_].state if id_ in there else DELETING
            assert state in LIFE, f"{id_} came to {there[id_]}"
            self._answered.note(id_, monotonic(), Deed("look", seen=LIFE[state]))
        assert {id_: self._answered.histories[id_] for id_ in self._answered.impossible()} == {}

    async def _endpoint_log_fits(self, operator: Client) -> None:
        """Each command is in the log once, however often it was sent, and no endpoint that nobody was told of."""
        records = [each async for each in operator.audit.log(LogName.ENDPOINT).read()]
        requests = [(EventMeta.FromString(each.meta).request_id, each) for each in records]
        created = {request: each.stream for request, each in requests if each.type == "endpoint.v1.Requested"}
        for request, id_ in self._answered.created.items():
            assert created.pop(request) == f"endpoint-{id_}"
        assert len(created) == 1, "the endpoint that was there before"
        counted = Counter((request, each.stream, each.type) for request, each in requests if request)
        assert [key for key, count in counted.items() if count > 1] == []

    async def _registry_log_fits(self, operator: Client) -> None:
        async with self._sidegate.client("load") as bystander:
            assert {vpc.name: vpc.id async for vpc in bystander.vpcs.list()} == self._answered.vpcs
        records = [each async for each in operator.audit.log(LogName.REGISTRY).list(account="load")]
        assert Counter(each.stream for each in records) == Counter(f"vpc-{id_}" for id_ in self._answered.vpcs.values())

    async def _forwarded_as_logged(self) -> bool:
        compared = await asyncio.to_thread(self._sidegate.cli, "audit", "replay", "--compare")
        return compared.returncode == 0

    async def _packets_fit(self, there: Mapping[str, Endpoint]) -> None:
        """They pass to the endpoints that are accepted, and to no other address that was ever given out."""
        accepted = {each.address for each in there.values() if each.state == ACCEPTED}
        everything = {*self._answered.addresses.values(), *(each.address for each in there.values())}
        namespace = self._consumer.namespace
        for address in accepted:
            assert await eventually_answers(namespace, address, 80) == "pia"
        silent = sorted(everything - accepted)
        answers = await asyncio.gather(*(who_answers(namespace, address, 80) for address in silent))
        assert [address for address, name in zip(silent, answers, strict=True) if name] == []


async def rebuilt_is_live(database: str, program: str) -> None:
    projected = PROJECTED[program]
    store = await SqlStore.open(database, projections=projected)
    try:
        live = await store.query(lambda connection: contents(connection, projected))
        await store.rebuild()
        assert await store.query(lambda connection: contents(connection, projected)) == live
    finally:
        await store.close()


def contents(connection: Connection, projected: Sequence[Projection]) -> dict[str, list[Any]]:
    """Every row of the projections' tables."""
    tables = [table for each in projected for table in each.metadata.sorted_tables]
    return {table.name: sorted(map(repr, connection.execute(select(table)))) for table in tables}
