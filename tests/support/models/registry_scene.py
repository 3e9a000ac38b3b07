"""A registry and the model of it, side by side: how commands are given to both, and what is compared after each."""

import asyncio
import tempfile
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from sqlalchemy import Connection, select

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.resource_table import RESOURCES
from services.common.principal import Principal
from services.registry.application.settings import Settings
from services.registry.projections import projections
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.evidence import verify
from tests.support.chaos.judges import contents
from tests.support.models.access import Access
from tests.support.models.registry import ONE_WAY, Refusals, Registry, Service, Vpc
from tests.support.registry_service import (
    OPERATING,
    PAYMENTS,
    PROGRAM,
    SHOP,
    FakeEndpoints,
    RegistryWorld,
    running_registry,
    status_of,
)
from tests.support.service_logs import SERVICE_LOGS, OpenLog
from tests.support.stores import whole_log

T = TypeVar("T")
Places = Mapping[tuple[str, str], tuple[int, int]]
"""When each resource was made, and when it last changed: positions by kind and id."""

QUOTA = 3
DEADLINE = 30.0
NOBODYS = "ffffffff-ffff-4fff-bfff-ffffffffffff"


class RegistryScene(RuleBasedStateMachine):
    """Every command is asked of the model first: it says what may be answered, and what is there afterwards."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.runner, self.stack = asyncio.Runner(), ExitStack()
        self.model, self.access = Registry(QUOTA), Access()
        self.endpoints = FakeEndpoints(there=self.model.known, live=self.model.live)
        self.gone: list[str] = []
        self.answered: list[tuple[Principal, str, Any, bytes]] = []
        self.then: dict[int, Places] = {}
        self.requests, self.steps = 0, 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @initialize()
    def begin(self) -> None:
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-model-")))
        self.open_log: OpenLog = self.stack.enter_context(SERVICE_LOGS[self.kind](directory))
        self.open()
        self.furnish()

    def furnish(self) -> None:
        """Puts something there, so that histories need not begin with it."""

    def open(self) -> None:
        async def serve() -> None:
            self.running = AsyncExitStack()
            store = await self.open_log(projections())
            world = running_registry(Path(), Settings(services=QUOTA), opened=store, endpoints=self.endpoints)
            self.world: RegistryWorld = await self.running.enter_async_context(world)
            await self.world.access.tokens.recall()

        self.run(serve())
        self.clients = {
            PAYMENTS: self.world.payments,
            SHOP: self.world.shop,
            OPERATING: self.world.operator,
            PROGRAM: self.world.program,
        }

    def close(self) -> None:
        self.run(self.running.aclose())

    def teardown(self) -> None:
        try:
            if hasattr(self, "running"):
                for who in (PAYMENTS, SHOP, OPERATING):
                    self.is_shown_what_is_his(who)
                self.versions_are_the_streams()
                self.rebuilt_is_live()
                self.log_proves_itself()
                self.close()
        finally:
            self.runner.close()
            self.stack.close()

    def give(
        self, who: Principal, method: str, request: Any, allowed: Refusals, *, subject: str = "", trial: bool = False
    ) -> Any:
        """The answer, if it is one that the model allows; None for a refusal that it wants.

        What is not there and what is another's are refused in the same bytes but for the id, the `subject`.
        """
        if trial:
            self._try(who, method, request, allowed)
        if hasattr(request, "request_id"):
            self.requests += 1
            request.request_id = f"r-{self.requests}"
        answer, refusal = self.attempt(who, method, request, allowed)
        if isinstance(refusal, errors.NotFound) and subject:
            blank = request.SerializeToString().replace(subject.encode(), NOBODYS.encode())
            _, of_nothing = self.attempt(who, method, type(request).FromString(blank), {errors.NotFound})
            assert of_nothing is not None
            assert _bytes(refusal, subject) == _bytes(of_nothing, NOBODYS)
        if answer is not None and hasattr(request, "request_id"):
            self.answered.append((who, method, request, answer.SerializeToString(deterministic=True)))
        return answer

    def _try(self, who: Principal, method: str, request: Any, allowed: Refusals) -> None:
        """Only validates: answered or refused alike, and nothing is changed."""
        asked, head = type(request).FromString(request.SerializeToString()), self.run(self.world.store.head())
        asked.validate_only = True
        self.attempt(who, method, asked, allowed)
        assert self.run(self.world.store.head()) == head, f"{method} was only validated, and has changed something"

    def attempt(
        self, who: Principal, method: str, request: Any, allowed: Refusals
    ) -> tuple[Any, errors.SidegateError | None]:
        client = self.clients[who]
        stub: Any = next(
            each for each in (client.stub, client.accounts, client.tokens, client.internal) if hasattr(each, method)
        )
        try:
            answer = self.run(client.ask(getattr(stub, method), request, DEADLINE))
        except errors.SidegateError as refusal:
            assert type(refusal) in allowed, f"{method}: {refusal!r} is not among {allowed}"
            return None, refusal
        assert not allowed, f"{method} was answered, and is to be refused with one of {allowed}"
        return answer, None

    def pick(self, things: Iterable[str], number: int) -> str:
        """One that is there; for the last two numbers one that is gone, or that never was."""
        there = list(things)
        if number == 8 and self.gone:
            return self.gone[-1]
        return there[number % len(there)] if there and number < 8 else NOBODYS

    def caller(self, things: Mapping[str, Any], id_: str, whose: str) -> Principal:
        """Who commands: mostly the owner of the thing."""
        owner: Principal = things[id_].owner if id_ in things else SHOP
        if whose == "its owner":
            return owner
        return OPERATING if whose == "the operator" else SHOP if owner == PAYMENTS else PAYMENTS

    def etag(self, kind: str, id_: str, wish: str) -> str:
        """The one that fits, as it is read now; or the first that there ever was."""
        thing: Vpc | Service | None = getattr(self.model, f"{kind}s").get(id_)
        if thing is None or not wish:
            return "1" if wish else ""
        method, request = (
            ("GetVpc", registry_pb2.GetVpcRequest(id=id_))
            if isinstance(thing, Vpc)
            else ("GetEndpointService", registry_pb2.GetEndpointServiceRequest(id=id_))
        )
        now, _ = self.attempt(thing.owner, method, request, set())
        if now.etag not in thing.etags:
            thing.etags.append(now.etag)
        assert thing.etags[-1] == now.etag, "another version has an etag that was there before"
        return thing.etags[-1 if wish == "fits" else 0]

    # what is so after every step

    @invariant()
    def one_after_another_is_shown_what_is_his_and_nothing_else(self) -> None:
        self.steps += 1
        self.is_shown_what_is_his((PAYMENTS, SHOP, OPERATING)[self.steps % 3])

    def is_shown_what_is_his(self, who: Principal) -> None:
        model, vpcs, subnets, ports, services = self.model, *self.run(self._lists(who))
        assert {each.id: (each.name, *each.cidrs) for each in vpcs} == {
            id_: (vpc.name, *vpc.cidrs) for id_, vpc in model.vpcs.items() if who in (vpc.owner, OPERATING)
        }
        assert {each.id: (each.vpc_id, each.name, each.cidr) for each in subnets} == {
            id_: (each.vpc, each.name, each.cidr) for id_, each in model.subnets.items() if each.owner == who
        }
        assert {each.id: (each.subnet_id, each.address, each.holder) for each in ports} == {
            id_: (port.subnet, port.address, port.holder) for id_, port in model.ports.items() if port.owner == who
        }
        assert {each.id: _shown(each) for each in services} == {
            id_: service.shown for id_, service in model.services.items() if service.owner == who
        }
        if who == OPERATING:
            attached, _ = self.attempt(who, "ListAttachments", registry_pb2.ListAttachmentsRequest(), frozenset())
            assert {each.id: (each.vpc_id, each.cell, each.netns.namespace) for each in attached.attachments} == {
                id_: (each.vpc, each.cell, each.network) for id_, each in model.attachments.items()
            }

    async def _lists(self, who: Principal) -> tuple[Any, Any, Any, Any]:
        ask, stub = self.clients[who].ask, self.clients[who].stub
        return (
            (await ask(stub.ListVpcs, registry_pb2.ListVpcsRequest())).vpcs,
            (await ask(stub.ListSubnets, registry_pb2.ListSubnetsRequest())).subnets,
            (await ask(stub.ListPorts, registry_pb2.ListPortsRequest())).ports,
            (await ask(stub.ListEndpointServices, registry_pb2.ListEndpointServicesRequest())).endpoint_services,
        )

    @invariant()
    def claims_and_counters_are_what_the_log_says_and_quotas_hold(self) -> None:
        holdings = self.run(self.world.store.holdings())
        assert (
            rebuild_holdings(self.run(whole_log(self.world.store)), self.world.registry.streams.meaning()) == holdings
        )
        for who in (PAYMENTS, SHOP, OPERATING):
            published = sum(service.owner == who for service in self.model.services.values())
            assert holdings.counters.get(("services", str(who)), 0) == published <= QUOTA
        assert sum(claim.kind == "address" for claim in holdings.claims) == len(self.model.ports)

    @invariant()
    def what_is_there_is_remembered(self) -> None:
        self.then[self.run(self.world.store.head()).position] = self.run(self.world.store.query(places))

    # what is looked at now and then

    def rebuilt_is_live(self) -> None:
        store = self.world.store
        live = self.run(store.query(lambda connection: contents(connection, projections())))
        self.run(store.rebuild())
        assert self.run(store.query(lambda connection: contents(connection, projections()))) == live

    def versions_are_the_streams(self) -> None:
        streams = self.world.registry.streams
        for id_, service in self.model.services.items():
            shown, _ = self.attempt(
                service.owner, "GetEndpointService", registry_pb2.GetEndpointServiceRequest(id=id_), frozenset()
            )
            assert shown.version == self.run(streams.services.load(f"service-{id_}"))[1]

    def log_proves_itself(self) -> None:
        head = self.run(self.world.store.head())
        verdict = verify(head.log_id, self.run(whole_log(self.world.store)))
        assert verdict.ok, verdict.fault


def places(connection: Connection) -> Places:
    columns = RESOURCES.c
    rows = connection.execute(select(columns.kind, columns.id, columns.created_position, columns.position))
    return {(row.kind, row.id): (row.created_position, row.position) for row in rows}


def _shown(service: EndpointService) -> tuple[object, ...]:
    return (
        service.name,
        service.full_name,
        service.vpc_id,
        tuple(each.address for each in service.backends),
        service.approval_required,
        service.description,
        service.session_settings.udp_one_way_seconds or ONE_WAY,
        frozenset(service.permissions),
        EndpointService.State.Name(service.state).removeprefix("STATE_"),
    )


def _bytes(refusal: errors.SidegateError, subject: str) -> tuple[object, bytes]:
    code, status = status_of(refusal)
    return code, status.replace(subject.encode(), b"<id>")
