"""Random commands of two accounts, each repeated with its request id until it is answered, and what was answered."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TypeVar
from uuid import UUID

from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.client import Client
from tests.support.linearizability import Operation, is_linearizable
from tests.support.world import Site, tcp

R = TypeVar("R")

PATIENCE = 90.0
"""Seconds within which a command is answered, whatever happens meanwhile."""

MOST_LIVE = 24
WORKERS = 4

LIFE = {
    ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE: "pending",
    ConnectionState.CONNECTION_STATE_CREATING: "allowed",
    ConnectionState.CONNECTION_STATE_ACCEPTED: "allowed",
    ConnectionState.CONNECTION_STATE_REJECTED: "rejected",
    ConnectionState.CONNECTION_STATE_DELETING: "deleted",
}
"""What a state means to whoever is on either side; FAILED is not here, since nothing that is done should lead to it."""

LEADS_TO = {"create": "pending", "accept": "allowed", "reject": "rejected", "delete": "deleted"}


@dataclass(frozen=True, slots=True)
class Deed:
    """A command, or a `look` that saw `seen`; `done` is whether it was not refused, None if that was never heard."""

    verb: str
    done: bool | None = True
    seen: str = ""


def step(life: str, deed: Deed) -> Iterable[str]:
    """The model of an endpoint: what a deed makes of its life, nothing if it cannot have been answered so."""
    match deed:
        case Deed(verb, done=None):  # where it changed nothing it need not have happened
            return step(life, Deed(verb, done=True))
        case Deed("look", seen=seen):
            return [life] if seen == life else []
        case Deed("create"):
            return ["pending"] if life == "absent" else []
        case Deed("delete", done=True):
            return [] if life == "absent" else ["deleted"]
        case Deed(verb, done=True):
            return [LEADS_TO[verb]] if life in ("pending", "allowed", "rejected") else []
        case _:
            return [life] if life == "deleted" else []  # only what is gone refuses


@dataclass
class Answered:
    """What was answered, by endpoint; each request id with the endpoint or VPC that it was about."""

    histories: dict[str, list[Operation[Deed]]] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    vpcs: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    commands: int = 0
    faults: int = 0

    def note(self, endpoint: str, called: float, deed: Deed) -> None:
        self.histories.setdefault(endpoint, []).append(Operation(called, monotonic(), deed))

    def impossible(self) -> list[str]:
        """The endpoints whose answers no order of commands explains."""
        return [id_ for id_, history in self.histories.items() if not is_linearizable(history, "absent", step)]


class Traffic:
    """What an account with endpoints, the owner of a service and a bystander do, all at once."""

    def __init__(
        self, consumer: Site, provider: Site, bystander: Client, service: EndpointService, chance: random.Random
    ) -> None:
        self._consumer, self._provider, self._bystander = consumer, provider, bystander
        self._service, self._chance = service, chance
        self.answered = Answered()

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work(stop))

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(self._chance.uniform(0.01, 0.1))
            live = [id_ for id_ in self.answered.addresses if id_ not in self.answered.gone]
            verbs = ["create"] * 3 if len(live) < MOST_LIVE else ["delete"]
            verbs += ["accept"] * 4 + ["reject", "reject", "delete"] if live else []
            match self._chance.choice([*verbs, "change", "make a network"]):
                case "create":
                    with suppress(errors.QuotaReached):  # those that are being deleted count until they are gone
                        await self._create()
                case "change":
                    await self._change_service()
                case "make a network":
                    await self._make_network()
                case verb:
                    await self._command(verb, self._chance.choice(live))

    async def _create(self) -> None:
        client, called, request = self._consumer.client, monotonic(), self._request()
        service, subnet = self._service.full_name, self._consumer.subnet_id
        made = await self._insist(partial(client.endpoints.create, service, subnet, request_id=request))
        self.answered.created[request] = made.id
        self.answered.addresses[made.id] = made.address
        self.answered.note(made.id, called, Deed("create"))

    async def _command(self, verb: str, endpoint: str) -> None:
        called, request = monotonic(), self._request()
        connections, service = self._provider.client.connections, self._service.id
        commands: dict[str, Callable[[], Awaitable[object]]] = {
            "accept": partial(connections.accept, service, endpoint, request_id=request),
            "reject": partial(connections.reject, service, endpoint, request_id=request),
            "delete": partial(self._consumer.client.endpoints.delete, endpoint, request_id=request),
        }
        if verb == "delete":
            self.answered.gone.add(endpoint)
        try:
            await self._insist(commands[verb])
            done = True
        except (errors.WrongState, errors.NotFound):
            done = False
        self.answered.note(endpoint, called, Deed(verb, done))

    async def _change_service(self) -> None:
        """Publishes another port, or takes it back; nothing of it touches what is there."""
        ports = [tcp(80, 8080), *([tcp(81, 8080)] if self._chance.random() < 0.5 else [])]
        update = self._provider.client.services.update
        await self._insist(partial(update, self._service.id, port_mappings=ports, request_id=self._request()))

    async def _make_network(self) -> None:
        name = f"vpc-{len(self.answered.vpcs)}-{self._chance.randrange(2**32)}"
        create = self._bystander.vpcs.create
        made = await self._insist(partial(create, name, ["10.0.0.0/24"], request_id=self._request()))
        self.answered.vpcs[name] = made.id

    async def _insist(self, command: Callable[[], Awaitable[R]]) -> R:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await command()
                except errors.Unavailable:
                    self.answered.faults += 1
                    await asyncio.sleep(0.05)
                else:
                    self.answered.commands += 1
                    return answer

    def _request(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))
