"""Endpoints against a model of their rules, on every store: both sides, gateways, time, restarts and rebuilds."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from services.common.clock import SECOND
from services.common.errors import Refused, Unavailable
from services.common.history.history import History
from services.common.history.keeper import SnapshotKeeper
from services.common.labels import Tag
from services.common.principal import Principal
from services.endpoint.application.past import PAST
from services.endpoint.application.registry import Removal, Rules
from services.endpoint.application.requests import Wanted
from services.endpoint.domain.endpoint_commands import Accept, Change, Delete, Note, ProviderCommand, Reject
from services.endpoint.domain.presence import Presence, Statement
from services.endpoint.domain.routes import Place
from services.endpoint.domain.targets import Netns
from tests.support import proof
from tests.support.chaos.run import SHARE
from tests.support.endpoint_service import CONSUMER, PROVIDER, SHOP_VPC, STRANGER, SUBNET, published
from tests.support.models.endpoint import ABSENT, FORWARDING, PASSES, RETIRED, Endpoint, Refusals, Service
from tests.support.models.endpoint_scene import NOBODYS, EndpointScene, key_of
from tests.support.service_logs import SERVICE_LOGS

SERVICES = [f"44444444-4444-4444-8444-44444444444{number}" for number in range(5)]
KINDS = [
    Service(approval=True),
    Service(approval=False),
    Service(approval=True, accepts="auto", pending_for=60, accepted_for=100, per_account=2),
]
SAID = {FORWARDING: Presence.FORWARDING, ABSENT: Presence.ABSENT, "hindered": Presence.HINDERED}

numbers = st.integers(0, 9)
whose = st.sampled_from([CONSUMER, CONSUMER, CONSUMER, PROVIDER, STRANGER])
providers = st.sampled_from([PROVIDER, PROVIDER, PROVIDER, CONSUMER, STRANGER])
gateways = st.sampled_from(["gw-1", "gw-1", "gw-2"])
trials = st.sampled_from([False, False, False, True])
names = st.sampled_from(["a", "b"])
drains = st.sampled_from([0, 0, 5, 60])


class Sides(EndpointScene):
    """What consumers and the services' owner command."""

    @rule(
        who=st.sampled_from([CONSUMER, CONSUMER, PROVIDER]),
        number=numbers,
        tag=st.sampled_from(["", "auto"]),
        trial=trials,
        away=st.sampled_from([False, False, False, True]),
    )
    def request(self, who: Principal, number: int, *, tag: str = "", trial: bool = False, away: bool = False) -> None:
        if away:
            self.request_while_the_registry_is_away(number)
        service = self.service(number)
        tags = (Tag("auto", tag),) if tag else ()
        wanted = Wanted("", service, Place(SUBNET), (), tags=tags)
        allowed = self.model.request(who, service)
        made = self.give(
            lambda context: self.world.app.requests.request(wanted, context),
            self.context(who, "CreateEndpoint", wanted),
            allowed,
            trial=trial,
        )
        if made is not None:
            self.model.requested(made.id, who, service, tag)
            assert self.registry.held[made.id]

    def request_while_the_registry_is_away(self, number: int) -> None:
        """It is refused, and leaves nothing."""
        self.registry.refusals["reserve"] = Unavailable("AWAY", "away")
        wanted, head = Wanted("", self.service(number), Place(SUBNET), ()), self.run(self.world.store.head())
        request = self.world.app.requests.request(wanted, self.context(CONSUMER, "CreateEndpoint", wanted))
        self.attempt(request, {Unavailable})
        assert self.run(self.world.store.head()) == head

    @rule(who=whose, number=numbers, name=names, described=st.booleans(), trial=trials)
    def describe(self, who: Principal, number: int, name: str, described: bool, trial: bool) -> None:
        """Words cut nothing: the generation stays."""
        id_ = self.pick(number)
        before = self.model.endpoints[id_].generation if id_ in self.model.endpoints else 0
        command = Change(self.clock(), who, id_, name=name, description="x" if described else None)
        if (answer := self.change(command, who, trial=trial)) is not None:
            self.model.endpoints[id_].name = name
            assert answer.generation == before

    @rule(who=whose, number=numbers, allowed=st.sampled_from(["", "10.0.0.0/24", "10.0.0.128/25"]), trial=trials)
    def allow(self, who: Principal, number: int, allowed: str, trial: bool) -> None:
        sources = (IPv4Network(allowed),) if allowed else ()
        answer = self.change(Change(self.clock(), who, self.pick(number), allowed=sources), who, trial=trial)
        assert answer is None or list(answer.allowed_cidrs) == [str(each) for each in sources]

    def change(self, command: Change, who: Principal, *, trial: bool) -> Any:
        return self.give(
            lambda context: self.world.app.endpoints.change(command, context),
            self.context(who, "UpdateEndpoint", command),
            self.model.change(who, command.endpoint),
            trial=trial,
        )

    @rule(who=whose, number=numbers, drain=drains, trial=trials)
    def delete(self, who: Principal, number: int, drain: int, trial: bool) -> None:
        command = Delete(self.clock(), who, self.pick(number), drain * SECOND)
        answer = self.give(
            lambda context: self.world.app.endpoints.delete(command, context),
            self.context(who, "DeleteEndpoint", command),
            self.model.delete(who, command.endpoint),
            trial=trial,
        )
        if answer is not None:
            self.note(command.endpoint, answer.generation)
            self.model.deleted(command.endpoint, drain)

    @rule(who=providers, number=numbers, seconds=st.sampled_from([0, 0, 50]), trial=trials)
    def accept(self, who: Principal, number: int, seconds: int, trial: bool) -> None:
        id_, until = self.pick(number), self.model.now + seconds if seconds else 0
        command = Accept(self.clock(), who, self.service_of(id_), id_, until * SECOND)
        if self.decide(command, who, self.model.decide(who, command.service, id_), trial=trial):
            self.model.accepted(id_, until)

    @rule(who=providers, number=numbers, drain=drains, trial=trials)
    def reject(self, who: Principal, number: int, drain: int, trial: bool) -> None:
        id_ = self.pick(number)
        command = Reject(self.clock(), who, self.service_of(id_), id_, drain * SECOND)
        if self.decide(command, who, self.model.decide(who, command.service, id_), trial=trial):
            self.model.rejected(id_, drain)

    @rule(who=providers, number=numbers, note=names, trial=trials)
    def put_a_note(self, who: Principal, number: int, note: str, trial: bool) -> None:
        id_ = self.pick(number)
        command = Note(self.clock(), who, self.service_of(id_), id_, note)
        if self.decide(command, who, self.model.look_at_connection(who, command.service, id_), trial=trial):
            self.model.endpoints[id_].note = note

    def decide(self, command: ProviderCommand, who: Principal, allowed: Refusals, *, trial: bool) -> bool:
        context = self.context(who, f"{type(command).__name__}Connection", command)
        given = self.give(lambda at: self.world.app.connections.decide(command, at), context, allowed, trial=trial)
        return given is not None

    @rule(who=providers, number=numbers, some=st.sets(numbers, min_size=1, max_size=4), accepting=st.booleans())
    def decide_on_many(self, who: Principal, number: int, some: set[int], accepting: bool) -> None:
        """Each on its own: what cannot be decided hinders no other."""
        service, ids = self.service(number), sorted({self.pick(each) for each in some})
        kind = Accept if accepting else Reject
        commands = [kind(self.clock(), who, service, id_) for id_ in ids]
        context = self.context(who, "DecideConnections", commands)
        answers = self.run(self.world.app.connections.decide_all(commands, context))
        for id_, answer in zip(ids, answers, strict=True):
            allowed = self.model.decide(who, service, id_)
            assert type(answer) in allowed if isinstance(answer, Refused) else not allowed
            if not allowed:
                (self.model.accepted if accepting else self.model.rejected)(id_)

    def service(self, number: int) -> str:
        known = list(self.model.services)
        return known[number % len(known)] if number < 9 else NOBODYS

    def service_of(self, id_: str) -> str:
        return self.model.endpoints[id_].service if id_ in self.model.endpoints else self.service(0)

    def note(self, id_: str, generation: int) -> None:
        """What it is at now, before what follows from the reports on it is drawn."""
        self.model.endpoints[id_].generation = max(generation, self.model.endpoints[id_].generation)


class Registry(Sides):
    """What the registry tells: services that come, change and go, permissions that end, VPCs that are detached."""

    @precondition(lambda self: len(self.model.services) < len(SERVICES))
    @rule(number=numbers)
    def publish(self, number: int) -> None:
        id_, kind = SERVICES[len(self.model.services)], replace(KINDS[number % 3])
        rules = Rules(
            tags=frozenset({Tag("auto", kind.accepts)}) if kind.accepts else frozenset(),
            pending_for=kind.pending_for * SECOND,
            accepted_for=kind.accepted_for * SECOND,
        )
        self.registry.services[id_] = replace(
            published(id_, approval_required=kind.approval), rules=rules, endpoints_per_account=kind.per_account
        )
        self.model.services[id_] = kind

    @rule(number=numbers)
    def withdraw(self, number: int) -> None:
        """What is gone will not come back; to be told again changes nothing."""
        if (id_ := self.service(number)) != NOBODYS:
            self.registry.services[id_] = replace(self.registry.services[id_], gone=True)
            self.run(self.world.app.forwarding.service_gone(id_))
            self.model.withdrawn(id_)

    @rule(number=numbers, account=st.sampled_from([CONSUMER.account, PROVIDER.account]))
    def forbid(self, number: int, account: str) -> None:
        if (id_ := self.service(number)) != NOBODYS:
            version = self.registry.services[id_].version + 1
            ended = {f"iam:domain::{account}": Removal(self.clock(), version)}
            self.registry.services[id_] = replace(self.registry.services[id_], version=version, ended=ended)
            self.run(self.world.app.forwarding.permissions_removed(self.registry.services[id_]))
            self.model.forbidden(id_, account)

    @rule(number=numbers, last=numbers, device=names, attached=st.sampled_from([True, True, False]))
    def alter(self, number: int, last: int, device: str, attached: bool) -> None:
        """Other backends, another device, or none: nothing of it touches what an endpoint is."""
        if (id_ := self.service(number)) != NOBODYS and not self.model.services[id_].gone:
            self.registry.change(id_, f"10.0.0.{last + 1}")
        self.model.attached = attached
        self.registry.targets.pop((SHOP_VPC, "default"), None)
        if attached:
            self.registry.targets[SHOP_VPC, "default"] = Netns("shop", device)
        self.run(self.world.app.forwarding.refresh([id_], [SHOP_VPC]))


class EndpointMachine(Registry):
    """All of it, with gateways, time, and what must not make a difference."""

    def furnish(self) -> None:
        for number in range(3):
            self.publish(number)
        self.join("gw-1", "default")
        self.join("gw-2", "default")
        self.request(CONSUMER, 0)
        self.request(CONSUMER, 1)
        self.request(CONSUMER, 1)
        self.delete(CONSUMER, 2, drain=0, trial=False)

    @rule(gateway=gateways, cell=st.sampled_from(["default", "default", "default", "west"]))
    def join(self, gateway: str, cell: str) -> None:
        allowed = self.model.join(gateway, cell)
        session = self.attempt(self.world.app.cells.join(gateway, cell), allowed)
        if session is not None:
            self.world.sessions[gateway] = session
            self.model.joined(gateway, cell, session)
            self.run(self.world.upkeep.errands())

    @rule(
        gateway=gateways, number=numbers, stale=st.sampled_from([0, 0, 0, 0, 1, 2]), said=st.sampled_from(sorted(SAID))
    )
    def report(self, gateway: str, number: int, stale: int, said: str) -> None:
        """Of one endpoint, at its present generation or at one before."""
        endpoint = self.model.endpoints.get(id_ := self.pick(number))
        self.say(gateway, [(id_, max(1, (endpoint.generation if endpoint else 1) - stale), said)])

    @rule(
        gateway=gateways, number=numbers, stale=st.sampled_from([0, 0, 0, 1]), wanted=st.sampled_from([0, 1, 2, 5, 200])
    )
    def grow(self, gateway: str, number: int, stale: int, wanted: int) -> None:
        """Its sessions need so many source addresses: where packets pass, it has twice as many as before at most."""
        self.run(self.world.upkeep.errands())
        self.run(self._observe())
        endpoint = self.model.endpoints.get(id_ := self.pick(number))
        generation = endpoint.generation if endpoint else 1
        before, session = self.sources(id_, gateway), self.world.sessions.get(gateway, "")
        said = Statement(gateway, id_, max(1, generation - stale), Presence.FORWARDING, sources_wanted=wanted)
        heard = self.run(self.world.app.cells.report(gateway, session, [said]))
        assert heard == self.model.heard(gateway, session)
        if heard:
            self.model.reported(gateway, id_, said.generation, FORWARDING)
            self.model.settle()  # the report accepts it, before more sources make it another generation
        self.run(self.world.upkeep.errands())
        may = heard and endpoint is not None and endpoint.state in PASSES and said.generation == generation
        assert self.sources(id_, gateway) - before == (max(0, min(wanted, 2 * before, 64) - before) if may else 0)

    def sources(self, id_: str, gateway: str) -> int:
        """How many the gateway is told of."""
        told = {key_of(entry): entry for entry in self.run(self.world.app.feed.snapshot("default")).entries()}
        return sum(lease.gateway_id == gateway for lease in told[id_].endpoint.sources) if id_ in told else 0

    @rule(gateway=gateways, stale=st.sampled_from([0, 0, 1]))
    def report_everything(self, gateway: str, stale: int) -> None:
        """As an agent does that has caught up, or has yet to hear of the last generation."""
        states = {id_: FORWARDING if each.state in ("CREATING", "ACCEPTED") else ABSENT for id_, each in self.there()}
        self.say(gateway, [(id_, max(1, each.generation - stale), states[id_]) for id_, each in self.there()])

    def there(self) -> Sequence[tuple[str, Endpoint]]:
        return list(self.model.there())

    def say(self, gateway: str, reports: Sequence[tuple[str, int, str]]) -> None:
        session = self.world.sessions.get(gateway, "")
        said = [Statement(gateway, id_, generation, SAID[what]) for id_, generation, what in reports]
        heard = self.run(self.world.app.cells.report(gateway, session, said))
        assert heard == self.model.heard(gateway, session)
        if heard:
            for id_, generation, what in reports:
                self.model.reported(gateway, id_, generation, what)

    @rule(gateway=gateways, really=st.sampled_from([False, False, True]))
    def retire(self, gateway: str, really: bool) -> None:
        if really:
            allowed = self.model.retire(gateway)

            async def retire() -> bool:
                await self.world.app.cells.retire(gateway)
                return True

            if self.attempt(retire(), allowed):
                self.model.gateways[gateway].stage = RETIRED

    @rule(seconds=st.sampled_from([1, 10, 31, 61, 121, 3601]), beating=st.booleans())
    def wait(self, seconds: int, beating: bool) -> None:
        """Gateways that beat keep their leases."""
        self.clock.advance(seconds)
        self.model.now = self.clock.now // SECOND
        for gateway in sorted(self.model.gateways) if beating else ():
            self.say(gateway, [])

    @precondition(lambda self: self.answered)
    @rule(number=st.integers(0, 999))
    def repeat_a_request(self, number: int) -> None:
        """Whatever has happened since, it is answered as it was."""
        again, first = self.answered[number % len(self.answered)]
        head = self.run(self.world.store.head())

        async def ask() -> bytes:
            return (await again()).SerializeToString()

        assert self.run(ask()) == first
        assert self.run(self.world.store.head()) == head

    @rule(what=st.sampled_from(["start again", "make the tables anew", "keep snapshots", "keep others", "resync"]))
    def do_what_must_make_no_difference(self, what: str) -> None:
        match what:
            case "start again":
                self.run(self.world.store.close())
                self.open()
                self.model.restarted()
            case "make the tables anew":
                self.rebuilt_is_live()
            case "resync":
                self.run(self.world.app.forwarding.resync())
            case _:  # at other places than before: some are made, the others dropped
                history = History(self.world.store, PAST.reducer)
                self.run(SnapshotKeeper(self.world.store, history, 3 if what == "keep snapshots" else 7).once())

    @precondition(lambda self: self.then)
    @rule(number=st.integers(0, 999))
    def look_back(self, number: int) -> None:
        position = list(self.then)[number % len(self.then)]
        there, entries = self.then[position]
        index = self.run(History(self.world.store, PAST.reducer).at(position))
        assert {key: (place.created, place.position) for key, place in index.items()} == there
        self.digest_fits(position, entries)


HISTORIES = {"memory": 5, "sqlite": 3, "postgres": 2}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", SERVICE_LOGS)
def test_whatever_happens_endpoints_are_what_their_rules_say(kind: str) -> None:
    proof.run(proof.machine_on(kind, EndpointMachine), histories=HISTORIES[kind], steps=30)


@pytest.mark.soak
@pytest.mark.timeout(SHARE + 300)
@pytest.mark.parametrize("kind", SERVICE_LOGS)
def test_endpoints_are_what_their_rules_say_for_long(kind: str) -> None:
    machine = proof.machine_on(kind, EndpointMachine)
    assert proof.run(machine, histories=20, steps=60, seconds=SHARE / len(SERVICE_LOGS)) > 0
