"""What accounts do to the control plane while its programs are killed: everything that was answered is written down.

Endpoints are commanded by both sides, descriptions are changed by who has read them last, names are wanted by many.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from tests.support.chaos.traffic import LIFE, Deed, step
from tests.support.linearizability import Operation, is_linearizable
from tests.support.program import ControlPlane
from tests.support.world import tcp

R = TypeVar("R")

PATIENCE = 90.0
"""Seconds within which a command is answered, whatever happens meanwhile."""

CIDR = "10.0.0.0/16"
REGISTERS, MOST_LIVE, WORKERS = 8, 30, 3
IMPATIENT = 0.004
"""Seconds after which a few callers ask no more: what became of their command they never hear."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A description as it was read."""

    words: str


@dataclass(frozen=True, slots=True)
class Writing:
    """A description that was given by who had read `before`; `done` is None where no answer was heard."""

    before: str
    words: str
    done: bool | None


def write_step(words: str, what: Reading | Writing) -> Iterable[str]:
    """A register that is changed by who knows what it holds, and by nobody else."""
    match what:
        case Reading(found):
            return [words] if found == words else []
        case Writing(before, new, done):
            fits = before == words
            if done is None:
                return [new] if fits else []
            return ([new] if done else []) if fits else ([] if done else [words])


@dataclass
class Heard:
    """Histories by endpoint and by service; what was acknowledged, by request id."""

    lives: dict[str, list[Operation[Deed]]] = field(default_factory=dict)
    registers: dict[str, list[Operation[Reading | Writing]]] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    vpcs: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    changes: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    commands: int = 0
    reads: int = 0
    faults: int = 0
    unheard: int = 0

    def impossible(self) -> list[str]:
        """The resources whose answers no order of commands explains."""
        lives = (id_ for id_, history in self.lives.items() if not is_linearizable(history, "absent", step))
        registers = (id_ for id_, history in self.registers.items() if not is_linearizable(history, "", write_step))
        return [*lives, *registers]


class Commands:
    """`shop` asks for endpoints of the service of `payments`; `bank` makes networks."""

    def __init__(self, plane: ControlPlane, chance: random.Random) -> None:
        self._plane, self._chance, self.heard = plane, chance, Heard()
        self._clients: dict[str, Client] = {}
        self._subnet, self._service = "", ""

    async def run(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            for account in ("shop", "payments", "bank"):
                self._clients[account] = await stack.enter_async_context(self._plane.client(account))
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._again(self._live, stop))
                    workers.create_task(self._again(self._describe, stop))
                workers.create_task(self._again(self._name, stop))
            for id_ in self.heard.lives:
                await self._look(id_)
            for id_ in self.heard.registers:
                await self._read(id_)

    async def _again(self, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        while not stop.is_set():
            await work()

    async def furnish(self) -> None:
        async with AsyncExitStack() as stack:
            shop, payments, operator = [
                await stack.enter_async_context(self._plane.client(each)) for each in ("shop", "payments", "operator")
            ]
            for owner, name in ((shop, "shop"), (payments, "payments")):
                vpc = await owner.vpcs.create("net", [CIDR])
                await operator.attachments.create(vpc.id, NetnsTarget(namespace=name))
                if owner is shop:
                    self._subnet = (await owner.subnets.create("main", vpc.id, CIDR)).id
            services = [
                await payments.services.create(
                    f"service-{number}", vpc.id, [Backend(address="10.0.0.10")], [tcp(80, 80)], approval_required=True
                )
                for number in range(REGISTERS + 1)
            ]
            self._service = services[0].id
            await payments.services.permit(self._service, ["iam:domain::shop"])
            self.heard.registers |= {service.id: [] for service in services[1:]}

    # endpoints

    async def _live(self) -> None:
        live = [id_ for id_ in self.heard.lives if id_ not in self.heard.gone]
        verbs = ["accept", "accept", "reject", "look", "look", "delete"] if live else []
        match self._chance.choice([*verbs, *(["create"] * 2 if len(live) < MOST_LIVE else ["delete"])]):
            case "create":
                await self._create()
            case "look":
                await self._look(self._chance.choice(list(self.heard.lives)))
            case verb:
                await self._command(verb, self._chance.choice(live))

    async def _create(self) -> None:
        called, request = monotonic(), self._request()
        create = self._clients["shop"].endpoints.create
        made = await self._insist(partial(create, self._service, self._subnet, request_id=request))
        self.heard.endpoints[request] = made.id
        self._note(made.id, called, Deed("create"))

    async def _command(self, verb: str, endpoint: str) -> None:
        called, request, connections = monotonic(), self._request(), self._clients["payments"].connections
        commands: dict[str, Callable[[], Awaitable[object]]] = {
            "accept": partial(connections.accept, self._service, endpoint, request_id=request),
            "reject": partial(connections.reject, self._service, endpoint, request_id=request),
            "delete": partial(self._clients["shop"].endpoints.delete, endpoint, request_id=request),
        }
        if verb == "delete":
            self.heard.gone.add(endpoint)
        done = await self._done(commands[verb], errors.WrongState, errors.NotFound)
        self._note(endpoint, called, Deed(verb, done))

    async def _look(self, endpoint: str) -> None:
        """From either side."""
        called, shop, payments = monotonic(), self._clients["shop"], self._clients["payments"]
        look: Callable[[], Awaitable[Any]] = partial(payments.connections.get, self._service, endpoint)
        if self._chance.random() < 0.5:
            look = partial(shop.endpoints.get, endpoint)
        state = ConnectionState.CONNECTION_STATE_DELETING
        with suppress(errors.NotFound):
            state = (await self._insist(look, reading=True)).state
        self._note(endpoint, called, Deed("look", seen=LIFE[state]))

    def _note(self, endpoint: str, called: float, deed: Deed) -> None:
        returned = inf if deed.done is None else monotonic()
        self.heard.lives.setdefault(endpoint, []).append(Operation(called, returned, deed))

    # descriptions of services, each changed only by who knows the present one

    async def _describe(self) -> None:
        service = self._chance.choice(list(self.heard.registers))
        etag, before = await self._read(service)
        if self._chance.random() < 0.6:
            called, request = monotonic(), self._request()
            words = f"w {request[:13]}"
            update = self._clients["payments"].services.update
            done = await self._done(
                partial(update, service, description=words, etag=etag, request_id=request), errors.Outdated
            )
            returned = inf if done is None else monotonic()
            self.heard.registers[service].append(Operation(called, returned, Writing(before, words, done)))
            if done:
                self.heard.changes.add(request)

    async def _read(self, service: str) -> tuple[str, str]:
        called = monotonic()
        found = await self._insist(partial(self._clients["payments"].services.get, service), reading=True)
        self.heard.registers[service].append(Operation(called, monotonic(), Reading(found.description)))
        return found.etag, found.description

    # names, each wanted by two at once

    async def _name(self) -> None:
        name, create = f"net-{len(self.heard.names)}", self._clients["bank"].vpcs.create
        requests = [self._request(), self._request()]
        attempts = [self._insist(partial(create, name, ["10.0.0.0/24"], request_id=request)) for request in requests]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        won = [
            (request, answer.id)
            for request, answer in zip(requests, answers, strict=True)
            if not isinstance(answer, BaseException)
        ]
        assert [type(each) for each in answers if isinstance(each, BaseException)] == [errors.AlreadyExists], answers
        self.heard.vpcs |= dict(won)
        self.heard.names[name] = won[0][1]

    # how commands are given

    async def _done(
        self, command: Callable[[], Awaitable[object]], *refusals: type[errors.SidegateError]
    ) -> bool | None:
        """Whether it was done, or refused in one of these ways; None for a few that nobody waited for."""
        if self._chance.random() < 0.05:
            with suppress(TimeoutError, errors.Unavailable, *refusals):
                async with asyncio.timeout(IMPATIENT):
                    await command()
            self.heard.unheard += 1
            return None
        try:
            await self._insist(command)
        except refusals:
            return False
        return True

    async def _insist(self, command: Callable[[], Awaitable[R]], *, reading: bool = False) -> R:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await command()
                except errors.Unavailable:
                    self.heard.faults += 1
                    await asyncio.sleep(0.05)
                else:
                    self.heard.reads += reading
                    self.heard.commands += not reading
                    return answer

    def _request(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))
