"""The registry against a model of its rules, on every store: any commands of anybody, restarts and rebuilds between."""

import copy
import secrets
import time
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from services.common.clock import SECOND, now
from services.common.errors import Unavailable
from services.common.history.history import History
from services.common.history.keeper import SnapshotKeeper
from services.common.principal import Principal
from services.registry.application.past import PAST
from services.registry.policies import Upkeep
from services.registry.projections import REVISION
from sidegate import errors
from sidegate.api.registry.v1 import account_pb2, names_pb2, vpc_pb2
from sidegate.api.registry.v1 import account_service_pb2 as account_service
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.credentials import signature
from tests.support import identity, proof
from tests.support.chaos.run import SHARE
from tests.support.models.access import Key, Token
from tests.support.models.registry import AVAILABLE, ONE_WAY, RESOLVER, Attachment, Port, Refusals, Service, Subnet, Vpc
from tests.support.models.registry_scene import RegistryScene
from tests.support.registry_service import OPERATING, PAYMENTS, PROGRAM, SHOP, Client
from tests.support.service_logs import SERVICE_LOGS

numbers = st.integers(0, 9)
names = st.sampled_from("abc")
OWNER, OTHER, OPERATOR = "its owner", "another", "the operator"
callers = st.sampled_from([OWNER, OWNER, OWNER, OWNER, OTHER, OPERATOR])
operators = st.sampled_from([OPERATING, OPERATING, OPERATING, SHOP])
owners = st.sampled_from([SHOP, SHOP, SHOP, PAYMENTS])
ranges = st.sampled_from(["10.0.0.0/28", "10.0.0.16/28", "10.0.0.0/25", "10.0.1.0/28"])
addresses = st.sampled_from(["", "", "10.0.0.2", "10.0.0.5", "10.0.0.1", "10.0.1.3", "172.16.0.9"])
backends = st.sampled_from(["10.0.0.10", "10.0.0.11", "10.0.9.9"])
etags = st.sampled_from(["", "", "fits", "old"])
permissions = st.sampled_from(["shop", "payments", "bank", "*"]).map(lambda account: f"iam:domain::{account}")
FOREIGN: Refusals = frozenset({errors.NotFound})
trials = st.sampled_from([False, False, False, True])
switches = st.booleans()
idle_limits = st.sampled_from([0, 4, 5, 30, 300, 301])
ENDPOINTS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(10)]


class Inventory(RegistryScene):
    """VPCs, subnets, ports and attachments."""

    @rule(
        who=st.sampled_from([PAYMENTS, SHOP, OPERATING]),
        name=names,
        cidr=st.sampled_from(["10.0.0.0/24", "10.0.1.0/24"]),
        trial=trials,
    )
    def create_vpc(self, who: Principal, name: str, cidr: str, trial: bool = False) -> None:
        request = registry_pb2.CreateVpcRequest(vpc=vpc_pb2.Vpc(name=name, cidrs=[cidr]))
        made = self.give(who, "CreateVpc", request, self.model.create_vpc(who, name), trial=trial)
        if made is not None:
            self.model.vpcs[made.id] = Vpc(who, name, (cidr,))

    @rule(whose=callers, vpc=numbers, wish=etags, trial=trials)
    def delete_vpc(self, whose: str, vpc: int, wish: str, trial: bool) -> None:
        id_ = self.pick(self.model.vpcs, vpc)
        who = self.caller(self.model.vpcs, id_, whose)
        etag = self.etag("vpc", id_, wish)
        request, allowed = registry_pb2.DeleteVpcRequest(id=id_, etag=etag), self.model.delete_vpc(who, id_, etag)
        if self.give(who, "DeleteVpc", request, allowed, subject=id_, trial=trial) is not None:
            self.gone.append(id_)
            del self.model.vpcs[id_]

    @rule(whose=callers, vpc=numbers, name=names, cidr=ranges, trial=trials)
    def create_subnet(self, whose: str, vpc: int, name: str, cidr: str, trial: bool = False) -> None:
        id_ = self.pick(self.model.vpcs, vpc)
        who = self.caller(self.model.vpcs, id_, whose)
        allowed = self.model.create_subnet(who, id_, name, cidr)
        request = registry_pb2.CreateSubnetRequest(subnet=vpc_pb2.Subnet(vpc_id=id_, name=name, cidr=cidr))
        made = self.give(who, "CreateSubnet", request, allowed, subject=id_, trial=trial)
        if made is not None:
            self.model.subnets[made.id] = Subnet(id_, who, name, cidr)

    @rule(whose=callers, subnet=numbers, trial=trials)
    def delete_subnet(self, whose: str, subnet: int, trial: bool) -> None:
        id_ = self.pick(self.model.subnets, subnet)
        who = self.caller(self.model.subnets, id_, whose)
        request, allowed = registry_pb2.DeleteSubnetRequest(id=id_), self.model.delete_subnet(who, id_)
        if self.give(who, "DeleteSubnet", request, allowed, subject=id_, trial=trial) is not None:
            self.gone.append(id_)
            del self.model.subnets[id_]

    @rule(whose=callers, subnet=numbers, address=addresses, count=st.sampled_from([1, 1, 1, 13]), trial=trials)
    def create_ports(self, whose: str, subnet: int, address: str, count: int, trial: bool) -> None:
        id_, holder = self.pick(self.model.subnets, subnet), "machine/m"
        who = self.caller(self.model.subnets, id_, whose)
        for _ in range(count):
            wanted = vpc_pb2.Port(subnet_id=id_, address=address, holder=holder)
            allowed = self.model.create_port(who, id_, address)
            expected = address or ("" if allowed else self.model.lowest(id_))
            request = registry_pb2.CreatePortRequest(port=wanted)
            made = self.give(who, "CreatePort", request, allowed, subject=id_, trial=trial)
            if made is None:
                return
            assert made.address == expected
            self.model.ports[made.id] = Port(id_, who, made.address, holder)

    @rule(whose=callers, port=numbers, trial=trials)
    def delete_port(self, whose: str, port: int, trial: bool) -> None:
        id_ = self.pick(self.model.ports, port)
        who = self.caller(self.model.ports, id_, whose)
        request, allowed = registry_pb2.DeletePortRequest(id=id_), self.model.delete_port(who, id_)
        if self.give(who, "DeletePort", request, allowed, subject=id_, trial=trial) is not None:
            self.gone.append(id_)
            del self.model.ports[id_]

    @rule(whose=callers, vpc=numbers, subnet=numbers, address=addresses, trial=trials)
    def set_resolver(self, whose: str, vpc: int, *, subnet: int, address: str, trial: bool) -> None:
        """Mostly in a subnet of its own."""
        within = self.pick(self.model.subnets, subnet)
        own = self.model.subnets[within].vpc if within in self.model.subnets and vpc % 4 else ""
        id_ = own or self.pick(self.model.vpcs, vpc)
        who = self.caller(self.model.vpcs, id_, whose)
        allowed = self.model.set_resolver(who, id_, within, address)
        before = self.model.ports.get(self.model.resolver_of(id_))
        kept = before is not None and before.subnet == within and address in ("", before.address)
        expected = "" if allowed else before.address if before and kept else address or self.model.lowest(within)
        resolver = vpc_pb2.Resolver(subnet_id=within, address=address)
        request = names_pb2.SetResolverRequest(vpc_id=id_, resolver=resolver)
        subject = within if self.model.owns(who, self.model.vpcs.get(id_)) else id_
        made = self.give(who, "SetResolver", request, allowed, subject=subject, trial=trial)
        if made is not None:
            assert made.resolver.address == expected
            self._withdraw_resolver(id_, made.resolver.port_id)
            self.model.ports[made.resolver.port_id] = Port(within, who, made.resolver.address, RESOLVER)

    @rule(whose=callers, vpc=numbers, trial=trials)
    def delete_resolver(self, whose: str, vpc: int, trial: bool) -> None:
        id_ = self.pick(self.model.vpcs, vpc)
        who = self.caller(self.model.vpcs, id_, whose)
        request, allowed = names_pb2.DeleteResolverRequest(vpc_id=id_), self.model.delete_resolver(who, id_)
        if self.give(who, "DeleteResolver", request, allowed, subject=id_, trial=trial) is not None:
            self._withdraw_resolver(id_, "")

    def _withdraw_resolver(self, vpc: str, now: str) -> None:
        before = self.model.resolver_of(vpc)
        if before and before != now:
            self.gone.append(before)
            del self.model.ports[before]

    @rule(who=operators, vpc=numbers, cell=st.sampled_from(["default", "east"]), network=names, trial=trials)
    def attach(self, who: Principal, vpc: int, cell: str, network: str, trial: bool = False) -> None:
        id_ = self.pick(self.model.vpcs, vpc)
        reached = vpc_pb2.Attachment(vpc_id=id_, cell=cell, netns=vpc_pb2.NetnsTarget(namespace=network))
        request, allowed = registry_pb2.CreateAttachmentRequest(attachment=reached), self.model.attach
        made = self.give(who, "CreateAttachment", request, allowed(who, id_, cell, network), subject=id_, trial=trial)
        if made is not None:
            self.model.attachments[made.id] = Attachment(id_, cell, network)

    @rule(who=operators, attachment=numbers, trial=trials)
    def detach(self, who: Principal, attachment: int, trial: bool) -> None:
        id_ = self.pick(self.model.attachments, attachment)
        request, allowed = registry_pb2.DeleteAttachmentRequest(id=id_), self.model.detach(who, id_)
        if self.give(who, "DeleteAttachment", request, allowed, subject=id_, trial=trial) is not None:
            self.gone.append(id_)
            del self.model.attachments[id_]


class Publishing(RegistryScene):
    """Endpoint services: who may connect, what is reserved for whom, and how they end."""

    @rule(whose=callers, vpc=numbers, name=names, backend=backends, approval=switches, trial=trials)
    def publish(self, whose: str, vpc: int, *, name: str, backend: str, approval: bool, trial: bool = False) -> None:
        id_ = self.pick(self.model.vpcs, vpc)
        who = self.caller(self.model.vpcs, id_, whose)
        wanted = service_pb2.EndpointService(
            name=name,
            vpc_id=id_,
            backends=[service_pb2.Backend(address=backend)],
            port_mappings=[service_pb2.PortMapping(client_port=80, server_port=8080)],
            approval_required=approval,
        )
        request = registry_pb2.CreateEndpointServiceRequest(endpoint_service=wanted)
        allowed = self.model.publish(who, id_, name, backend)
        made = self.give(who, "CreateEndpointService", request, allowed, subject=id_, trial=trial)
        if made is not None:
            self.model.services[made.id] = Service(who, name, made.full_name, id_, (backend,), approval)

    @rule(whose=callers, service=numbers, wish=etags, approval=switches, words=names, backend=backends, trial=trials)
    def change(
        self, whose: str, service: int, *, wish: str, approval: bool, words: str, backend: str, trial: bool
    ) -> None:
        id_ = self.pick(self.model.services, service)
        who = self.caller(self.model.services, id_, whose)
        etag = self.etag("service", id_, wish)
        wanted = service_pb2.EndpointService(id=id_, etag=etag, approval_required=approval, description=words)
        wanted.backends.add(address=backend)
        mask = FieldMask(paths=["approval_required", "description", "backends"])
        request = registry_pb2.UpdateEndpointServiceRequest(endpoint_service=wanted, update_mask=mask)
        allowed = self.model.change(who, id_, etag, backend)
        if self.give(who, "UpdateEndpointService", request, allowed, subject=id_, trial=trial) is not None:
            changed = self.model.services[id_]
            changed.approval, changed.description, changed.backends = approval, words, (backend,)

    @rule(whose=callers, service=numbers, wish=etags, one_way=idle_limits, trial=trials)
    def ask_of_gateways(self, whose: str, service: int, *, wish: str, one_way: int, trial: bool) -> None:
        id_ = self.pick(self.model.services, service)
        who = self.caller(self.model.services, id_, whose)
        etag = self.etag("service", id_, wish)
        settings = service_pb2.SessionSettings(udp_one_way_seconds=one_way)
        wanted = service_pb2.EndpointService(id=id_, etag=etag, session_settings=settings)
        request = registry_pb2.UpdateEndpointServiceRequest(
            endpoint_service=wanted, update_mask=FieldMask(paths=["session_settings"])
        )
        allowed = self.model.ask_of_gateways(who, id_, etag, one_way)
        if self.give(who, "UpdateEndpointService", request, allowed, subject=id_, trial=trial) is not None:
            self.model.services[id_].one_way = one_way or ONE_WAY

    @rule(whose=callers, service=numbers, wish=etags, permission=permissions, trial=trials)
    def permit(self, whose: str, service: int, wish: str, permission: str, trial: bool = False) -> None:
        id_ = self.pick(self.model.services, service)
        who = self.caller(self.model.services, id_, whose)
        etag = self.etag("service", id_, wish)
        request = registry_pb2.AddPermissionsRequest(service_id=id_, permissions=[permission], etag=etag)
        allowed = self.model.change(who, id_, etag)
        if self.give(who, "AddPermissions", request, allowed, subject=id_, trial=trial) is not None:
            self.model.services[id_].permissions.add(permission)

    @rule(whose=callers, service=numbers, permission=permissions, end=switches, trial=trials)
    def forbid(self, whose: str, service: int, permission: str, end: bool, trial: bool) -> None:
        id_ = self.pick(self.model.services, service)
        who = self.caller(self.model.services, id_, whose)
        request = registry_pb2.RemovePermissionsRequest(service_id=id_, permissions=[permission], end_connections=end)
        allowed = self.model.change(who, id_, "")
        if self.give(who, "RemovePermissions", request, allowed, subject=id_, trial=trial) is not None:
            self.model.services[id_].permissions.discard(permission)

    @rule(whose=callers, service=numbers, force=switches, wish=etags, trial=trials)
    def withdraw(self, whose: str, service: int, force: bool, wish: str, trial: bool) -> None:
        id_ = self.pick(self.model.services, service)
        who = self.caller(self.model.services, id_, whose)
        etag, found = self.etag("service", id_, wish), self.model.services.get(id_)
        request = registry_pb2.DeleteEndpointServiceRequest(id=id_, force=force, etag=etag)
        if trial and found is not None and found.stage == AVAILABLE:
            self._try(who, "DeleteEndpointService", request, copy.deepcopy(self.model).withdraw(who, id_, force, etag))
        allowed = self.model.withdraw(who, id_, force, etag)
        self.give(who, "DeleteEndpointService", request, allowed, subject=id_)
        if id_ in self.model.deleted:
            self.gone.append(id_)

    @rule(service=numbers, connected=switches, away=st.sampled_from([False, False, True]))
    def see_connections(self, service: int, connected: bool, away: bool) -> None:
        """What the endpoint service would say, if it is there to say it."""
        self.model.live[self.pick(self.model.services, service)] = [ENDPOINTS[0]] if connected else []
        self.model.away = self.endpoints.away = away

    @rule(whose=callers, service=numbers, by_name=switches)
    def look_up(self, whose: str, service: int, by_name: bool) -> None:
        id_ = self.pick(self.model.services, service)
        who = self.caller(self.model.services, id_, whose)
        named = f"local.a.{id_}" if by_name else id_
        request, found = registry_pb2.LookupEndpointServiceRequest(service=named), self.model.services.get(id_)
        visible = self.model.visible(who, id_) and (not by_name or found is None or found.full_name == named)
        shown = self.give(who, "LookupEndpointService", request, set() if visible else {errors.NotFound}, subject=id_)
        assert shown is None or found is None or (shown.id, shown.full_name) == (id_, found.full_name)

    @rule(endpoint=numbers, owner=owners, service=numbers, subnet=numbers, address=addresses)
    def reserve(self, endpoint: int, owner: Principal, service: int, subnet: int, address: str) -> None:
        id_, service_id = ENDPOINTS[endpoint % 4], self.pick(self.model.services, service)
        subnet_id = self.pick(self.model.subnets, subnet)
        request = internal_pb2.ReserveEndpointPortRequest(
            endpoint_id=id_, account=owner.account, project=owner.project, service=service_id, subnet_id=subnet_id
        )
        request.address = address
        allowed, held = self.model.reserve(id_, owner, service_id, subnet_id, address), self.model.port_of(id_)
        expected = address or ("" if allowed or held else self.model.lowest(subnet_id))
        hidden = not self.model.visible(owner, service_id)
        given = self.give(PROGRAM, "ReserveEndpointPort", request, allowed, subject=service_id if hidden else subnet_id)
        if given is None:
            return
        if held:
            assert given.port.id == held
        else:
            assert given.port.address == expected
            self.model.ports[given.port.id] = Port(subnet_id, owner, expected, f"endpoint/{id_}")
        assert given.service.id == service_id

    @rule(endpoint=numbers, known=switches)
    def release(self, endpoint: int, known: bool) -> None:
        """Again is not an error. Or its endpoint is heard of, and it is kept."""
        id_ = ENDPOINTS[endpoint % 4]
        if known:
            self.model.known.add(id_)
            return
        self.give(PROGRAM, "ReleaseEndpointPort", internal_pb2.ReleaseEndpointPortRequest(endpoint_id=id_), set())
        self.model.release(id_)
        self.model.known.discard(id_)

    @rule(seconds=st.sampled_from([0, 31, 61]))
    def pass_time(self, seconds: int) -> None:
        registry = self.world.registry
        upkeep = Upkeep(registry.deletions, registry.reservations, lambda: now() + seconds * SECOND)
        with suppress(Unavailable):
            self.run(upkeep.once())
        self.model.pass_time(seconds)


class Identity(RegistryScene):
    """Accounts, projects, access keys and their tokens."""

    @rule(
        what=st.sampled_from(["account", "project", "key", "sign", "sign", "speak", "speak"]),
        who=operators,
        name=st.sampled_from(["shop", "bank"]),
        project=st.sampled_from(["default", "a"]),
        number=numbers,
    )
    def identify(self, what: str, who: Principal, *, name: str, project: str, number: int) -> None:
        match what:
            case "account":
                self.create_account(who, name)
            case "project":
                self.create_project(name, project)
            case "key":
                self.create_key(who, name, project)
            case "sign":
                self.sign(number % 8, number if number == 9 else number % 8)
            case _ if self.access.tokens:
                self.speak(number)

    def create_account(self, who: Principal, name: str) -> None:
        allowed = self.access.create_account(name) if who.is_operator else FOREIGN
        request = account_service.CreateAccountRequest(account=account_pb2.Account(name=name))
        made = self.give(who, "CreateAccount", request, allowed)
        if made is not None:
            self.access.projects[name] = {"default"}
            self.access.keys[made.key.key.id] = Key(name, made.key.secret_key)

    def create_project(self, name: str, project: str) -> None:
        request = account_service.CreateProjectRequest(account=name, project=project)
        if self.give(OPERATING, "CreateProject", request, self.access.create_project(name, project)) is not None:
            self.access.projects[name].add(project)

    def create_key(self, who: Principal, name: str, project: str) -> None:
        allowed = self.access.create_key(name, project) if who.is_operator else FOREIGN
        wanted = account_pb2.AccessKey(account=name, project=project, role=account_pb2.ROLE_VIEWER)
        made = self.give(who, "CreateAccessKey", account_service.CreateAccessKeyRequest(key=wanted), allowed)
        if made is not None:
            self.access.keys[made.key.id] = Key(name, made.secret_key)

    @rule(number=numbers, revoke=switches)
    def end_a_key(self, number: int, revoke: bool) -> None:
        if revoke:
            self.revoke(number)
        else:
            self.rotate(number)

    def rotate(self, number: int) -> None:
        id_ = self.pick(self.access.keys, number)
        request, allowed = account_service.RotateAccessKeyRequest(id=id_), self.access.rotate(id_)
        if (told := self.give(OPERATING, "RotateAccessKey", request, allowed)) is not None:
            key = self.access.keys[id_]
            assert told.secret_key != key.secret
            key.secret, key.generation = told.secret_key, key.generation + 1
            self.speak_with_all(id_)

    def revoke(self, number: int) -> None:
        id_ = self.pick(self.access.keys, number)
        request, allowed = account_service.RevokeAccessKeyRequest(id=id_), self.access.revoke(id_)
        if self.give(OPERATING, "RevokeAccessKey", request, allowed) is not None:
            self.access.keys[id_].revoked = True
            self.speak_with_all(id_)

    def speak_with_all(self, key: str) -> None:
        """With every token that was had for the key."""
        for number, token in enumerate(self.access.tokens):
            if token.key == key:
                self.speak(number)

    def sign(self, number: int, other: int) -> None:
        """With the secret of a key: mostly its own."""
        id_ = self.pick(self.access.keys, number)
        secret = self.access.keys[self.pick(self.access.keys, other % 8)].secret
        at, nonce = int(time.time()), secrets.token_bytes(16)
        request = account_service.IssueTokenRequest(
            access_key=id_, timestamp=at, nonce=nonce, signature=signature(secret, id_, at, nonce)
        )
        told = self.give(SHOP, "IssueToken", request, self.access.sign(id_, secret))
        if told is not None:
            self.access.tokens.append(Token(told.token, id_, self.access.keys[id_].generation))

    def speak(self, number: int) -> None:
        token = self.access.tokens[number % len(self.access.tokens)]
        allowed = self.access.speak(token)

        async def ask() -> Any:
            client = Client(self.world.address, SHOP, identity.Bearing(token.text))
            try:
                return await client.ask(client.tokens.GetIdentity, account_service.GetIdentityRequest())
            except errors.Unauthenticated:
                return None
            finally:
                await client.close()

        who = self.run(ask())
        assert (who is None) == bool(allowed)
        assert who is None or (who.account, who.access_key) == (self.access.keys[token.key].account, token.key)


class RegistryMachine(Inventory, Publishing, Identity):
    """All of it, and what must not make a difference."""

    def furnish(self) -> None:
        for number, who in enumerate((PAYMENTS, SHOP)):
            self.create_vpc(who, "a", "10.0.0.0/24")
            self.create_subnet(OWNER, number, "a", "10.0.0.0/28")
        self.create_vpc(PAYMENTS, "b", "10.0.0.0/24")
        for number in range(3):
            self.attach(OPERATING, number, "default", "abc"[number])
        self.create_ports(OWNER, 1, "", 1, trial=False)
        self.publish(OWNER, 2, name="a", backend="10.0.0.10", approval=True)
        self.permit(OWNER, 0, "", "iam:domain::shop")
        self.create_account(OPERATING, "shop")
        self.sign(0, 0)

    @precondition(lambda self: self.answered)
    @rule(number=st.integers(0, 999))
    def repeat_a_request(self, number: int) -> None:
        """Whatever has happened since, it is answered as it was; a secret is told once."""
        who, method, request, first = self.answered[number % len(self.answered)]
        head = self.run(self.world.store.head())
        again, _ = self.attempt(who, method, request, set())
        assert again.SerializeToString(deterministic=True) == _without_secret(type(again).FromString(first))
        assert self.run(self.world.store.head()) == head

    @rule(what=st.sampled_from(["start again", "make the tables anew", "keep snapshots", "keep others"]))
    def do_what_must_make_no_difference(self, what: str) -> None:
        match what:
            case "start again":
                self.close()
                self.open()
            case "make the tables anew":
                self.rebuilt_is_live()
            case _:  # at other places than before: some are made, the others dropped
                history = History(self.world.store, PAST.reducer)
                self.run(SnapshotKeeper(self.world.store, history, 3 if what == "keep snapshots" else 7).once())

    @precondition(lambda self: self.then)
    @rule(number=st.integers(0, 999))
    def look_back(self, number: int) -> None:
        position = list(self.then)[number % len(self.then)]
        index = self.run(History(self.world.store, PAST.reducer).at(position))
        found = {key: (place.created, place.position) for key, place in index.items() if key[0] != REVISION}
        assert found == self.then[position]


def _without_secret(answer: Any) -> bytes:
    for told in (answer, getattr(answer, "key", None)):
        if isinstance(told, account_service.AccessKeySecret):
            told.secret_key = ""
    return bytes(answer.SerializeToString(deterministic=True))


HISTORIES = {"memory": 7, "sqlite": 3, "postgres": 2}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", SERVICE_LOGS)
def test_whatever_anybody_asks_the_registry_does_as_its_rules_say(kind: str) -> None:
    proof.run(proof.machine_on(kind, RegistryMachine), histories=HISTORIES[kind], steps=30)


@pytest.mark.soak
@pytest.mark.timeout(SHARE + 300)
@pytest.mark.parametrize("kind", SERVICE_LOGS)
def test_the_registry_does_as_its_rules_say_for_long(kind: str) -> None:
    machine = proof.machine_on(kind, RegistryMachine)
    assert proof.run(machine, histories=20, steps=60, seconds=SHARE / len(SERVICE_LOGS)) > 0
