"""Those who try to get in: every attempt ends as if nothing were there, or nobody known, and is written down."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from services.common.identity.access_log import Refusal
from services.common.identity.certificates import Certificates
from services.common.identity.pki import Authority, Subject, program_uri
from services.common.identity.tokens import LIFETIME_SECONDS, Issuer
from services.common.principal import Principal, Role
from services.endpoint.application.limits import Limits
from services.registry.application.accounts import new_credential
from services.registry.master_key import MasterKey
from services.registry.nonces import TakenNonces
from sidegate import errors
from sidegate.access import Certified, Untold
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2 as endpoint_internal_pb2
from sidegate.api.events.v1 import log_pb2, log_pb2_grpc
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb2
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc as gateway_grpc
from sidegate.api.gateway.v1 import traffic_pb2
from sidegate.api.registry.v1 import account_pb2, account_service_pb2, account_service_pb2_grpc, vpc_pb2
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2_grpc as internal_grpc
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import registry_service_pb2_grpc as registry_grpc
from sidegate.client import Client
from sidegate.credentials import Credential
from sidegate.transport import Access, Caller
from tests.support import identity
from tests.support.identity import Bearing
from tests.support.registry_service import PAYMENTS, RegistryWorld, running_registry
from tests.support.two_services import TwoServices, two_services

Attempt = Callable[["House"], Awaitable[object]]


@dataclass
class House:
    """A registry with an operator, and an account `shop`, both with real keys."""

    world: RegistryWorld
    operator: Client
    shop: Client
    shops: Credential
    vpc: vpc_pb2.Vpc
    service: service_pb2.EndpointService

    def log(self) -> list[Refusal]:
        return list(self.world.access_log.newest(1000))

    async def call(self, access: Access, id_: str = "", address: str = "") -> object:
        """A read, by whoever that is."""
        caller = Caller(address or self.world.address, access)
        try:
            stub = registry_grpc.RegistryServiceStub(caller.channel)
            return await caller.ask(stub.GetVpc, registry_pb2.GetVpcRequest(id=id_ or self.vpc.id))
        finally:
            await caller.close()


def client_with(world: RegistryWorld, credential: Credential) -> Client:
    return Client(world.address, credential=credential, ca=identity.ca())


def credential_of(made: account_service_pb2.AccessKeySecret) -> Credential:
    return Credential(made.key.account, made.key.project, made.key.id, made.secret_key)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running_registry(tmp_path) as world:
        path = tmp_path / "operator.json"
        await world.access.begin(path)
        async with client_with(world, Credential.read(path)) as operator:
            shops = credential_of((await operator.accounts.create("shop")).key)
            vpc = await world.payments.vpc()
            service = await world.payments.service(vpc)
            async with client_with(world, shops) as shop:
                yield House(world, operator, shop, shops, vpc, service)


async def test_who_has_an_access_key_is_let_in_as_whom_it_says(house: House) -> None:
    told = await house.shop.accounts.who_am_i()
    assert (told.account, told.project, told.role, told.acting) == ("shop", "default", account_pb2.ROLE_ADMIN, "")
    made = await house.shop.vpcs.create("main", ["10.0.0.0/24"])
    assert (made.account, made.project) == ("shop", "default")
    meta = log_pb2.EventMeta.FromString((await house.world.store.read(0, 1000))[-1].meta)
    assert (meta.account, meta.acting, meta.access_key) == ("shop", "", house.shops.access_key)


def expired() -> str:
    past = Issuer(identity.issuer()._key, identity.REGION, clock=lambda: time.time() - LIFETIME_SECONDS - 60)
    return past.issue("AK1", "payments", "payments-live", Role.ADMIN, 1)[0]


@pytest.mark.parametrize(
    ("access", "why"),
    [
        (lambda: Untold(Certificates(identity.directory_of("registry")).trusting()), "NO_TOKEN"),
        (lambda: Bearing("e30.e30."), "TOKEN_NOT_OURS"),
        (lambda: Bearing(expired()), "TOKEN_EXPIRED"),
        # As everybody was believed before there were tokens.
        (
            lambda: Bearing("", ("sidegate-account", "operator"), ("sidegate-project", "default")),
            "TOKEN_NOT_OURS",
        ),
        (lambda: identity.program("endpoint"), "NO_TOKEN"),  # a program's certificate is nothing on the public port
    ],
    ids=["no token", "forged", "expired", "the names alone", "a program's certificate"],
)
async def test_who_proves_nothing_hears_the_same_whatever_was_wrong(
    house: House, access: Callable[[], Access], why: str
) -> None:
    with pytest.raises(errors.Unauthenticated) as refused:
        await house.call(access())
    assert (refused.value.reason, "get a token" in refused.value.text) == ("UNAUTHENTICATED", True)
    written = house.log()[-1]
    told = (written.code, written.reason, written.account, written.resource)
    assert told == ("UNAUTHENTICATED", why, "", house.vpc.id)
    assert written.peer.startswith("ipv4:127.0.0.1:")


async def answer(house: House, access: Access, id_: str) -> tuple[type[Exception], str]:
    with pytest.raises(errors.SidegateError) as refused:
        await house.call(access, id_)
    return type(refused.value), refused.value.text.replace(id_, "it")


async def test_another_accounts_thing_is_not_there(house: House) -> None:
    shop, nowhere = identity.bearer("shop"), str(uuid4())
    assert await answer(house, shop, house.vpc.id) == await answer(house, shop, nowhere)
    assert [each.resource for each in house.log()[-2:]] == [house.vpc.id, nowhere]
    assert house.log()[-1].account == "shop"


async def test_a_token_speaks_for_no_other_account(house: House) -> None:
    theirs = ("sidegate-account", PAYMENTS.account), ("sidegate-project", PAYMENTS.project)
    for names in (theirs, (("sidegate-account", "system"),), (("sidegate-project", "another"),)):
        with pytest.raises(errors.NotFound):
            await house.call(Bearing(identity.token("shop"), *names))
        assert house.log()[-1].reason == "OTHER_ACCOUNT"
    with pytest.raises(errors.NotFound):
        await house.call(Bearing(identity.token("operator"), ("sidegate-account", "system")))


async def test_the_operator_acts_for_an_account_and_the_audit_says_who_it_was(house: House) -> None:
    acting = Bearing(identity.token("operator", access_key="AKOP"), ("sidegate-account", "bank"))
    caller = Caller(house.world.address, acting)
    stub = registry_grpc.RegistryServiceStub(caller.channel)
    wanted = registry_pb2.CreateVpcRequest(vpc=vpc_pb2.Vpc(name="main", cidrs=["10.0.0.0/24"]))
    made = await caller.ask(stub.CreateVpc, wanted)
    assert (made.account, made.project) == ("bank", "default")
    meta = log_pb2.EventMeta.FromString((await house.world.store.read(0, 1000))[-1].meta)
    assert (meta.account, meta.acting, meta.access_key) == ("bank", "operator", "AKOP")
    accounts = account_service_pb2_grpc.AccountsServiceStub(caller.channel)
    with pytest.raises(errors.Forbidden):  # in another's name it is not the operator
        await caller.ask(accounts.ListAccounts, account_service_pb2.ListAccountsRequest())
    await caller.close()


async def viewer_creates(house: House) -> None:
    viewer = await house.operator.accounts.create_key("shop", "default", account_pb2.ROLE_VIEWER)
    async with client_with(house.world, credential_of(viewer)) as client:
        assert [each async for each in client.vpcs.list()] == []
        await client.vpcs.create("main", ["10.0.0.0/24"])


async def viewer_deletes(house: House) -> None:
    vpc = await house.shop.vpcs.create("main", ["10.0.0.0/24"])
    viewer = await house.operator.accounts.create_key("shop", "default", account_pb2.ROLE_VIEWER)
    async with client_with(house.world, credential_of(viewer)) as client:
        assert (await client.vpcs.get(vpc.id)).id == vpc.id
        await client.vpcs.delete(vpc.id)


async def tenant_makes_an_account(house: House) -> None:
    await house.shop.accounts.create("accomplice")


async def tenant_makes_itself_an_operators_key(house: House) -> None:
    await house.shop.accounts.create_key("operator", "default", account_pb2.ROLE_OPERATOR)


async def tenant_attaches(house: House) -> None:
    await house.shop.attachments.create(house.vpc.id, vpc_pb2.NetnsTarget(namespace="payments"))


async def tenant_reads_the_log(house: House) -> None:
    caller = Caller(house.world.address, identity.bearer("shop"))
    try:
        await caller.ask(log_pb2_grpc.AuditServiceStub(caller.channel).GetHead, log_pb2.GetHeadRequest())
    finally:
        await caller.close()


async def tenant_permits_itself(house: House) -> None:
    await house.shop.services.permit(house.service.id, ["iam:domain::shop"])


async def tenant_looks_up_by_id(house: House) -> None:
    await house.shop.services.lookup(house.service.id)


async def tenant_looks_up_by_name(house: House) -> None:
    await house.shop.services.lookup(house.service.full_name)


async def tenant_asks_as_a_program(house: House) -> None:
    caller = Caller(house.world.address, identity.bearer("shop"))
    request = internal_pb2.ReleaseEndpointPortRequest(endpoint_id=str(uuid4()))
    try:
        await caller.ask(internal_grpc.RegistryInternalServiceStub(caller.channel).ReleaseEndpointPort, request)
    finally:
        await caller.close()


ATTEMPTS: list[Attempt] = [
    viewer_creates,
    viewer_deletes,
    tenant_makes_an_account,
    tenant_makes_itself_an_operators_key,
    tenant_attaches,
    tenant_reads_the_log,
    tenant_permits_itself,
    tenant_looks_up_by_id,
    tenant_looks_up_by_name,
    tenant_asks_as_a_program,
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: str(attempt.__name__))
async def test_what_an_account_may_not_is_not_there_and_is_written_down(house: House, attempt: Attempt) -> None:
    before = len(house.log())
    with pytest.raises(errors.NotFound):
        await attempt(house)
    (written,) = house.log()[before:]
    assert (written.code, written.account, written.project) == ("NOT_FOUND", "shop", "default")
    assert written.access_key


async def test_a_consumer_learns_of_no_service_by_asking_for_many(house: House) -> None:
    own = [each async for each in house.shop.services.list()]
    assert own == []
    for asked in (house.service.id, house.service.full_name, f"local.web.{uuid4()}", str(uuid4())):
        with pytest.raises(errors.NotFound) as refused:
            await house.shop.services.lookup(asked)
        assert refused.value.text.replace(asked, "it") == "service it is not there"


async def test_a_revoked_key_and_the_tokens_that_were_had_for_it_end_at_once(house: House) -> None:
    await house.shop.vpcs.create("main", ["10.0.0.0/24"])
    await house.operator.accounts.revoke_key(house.shops.access_key)
    with pytest.raises(errors.Unauthenticated):
        await house.shop.vpcs.create("more", ["10.0.1.0/24"])
    assert {"KEY_ENDED", "KEY_UNKNOWN"} <= {each.reason for each in house.log()}
    again = await house.operator.accounts.revoke_key(house.shops.access_key)
    assert again.HasField("revoke_time")
    with pytest.raises(errors.WrongState):
        await house.operator.accounts.rotate_key(house.shops.access_key)


async def test_a_rotated_key_has_another_secret_and_the_one_before_is_worth_nothing(house: House) -> None:
    await house.shop.accounts.who_am_i()
    rotated = credential_of(await house.operator.accounts.rotate_key(house.shops.access_key))
    assert rotated.access_key == house.shops.access_key
    assert rotated.secret_key != house.shops.secret_key
    with pytest.raises(errors.Unauthenticated):
        await house.shop.accounts.who_am_i()
    async with client_with(house.world, rotated) as client:
        assert (await client.accounts.who_am_i()).account == "shop"


async def test_a_start_ends_again_what_was_ended_before_it(house: House) -> None:
    token = identity.token("shop", access_key=house.shops.access_key)
    await house.operator.accounts.revoke_key(house.shops.access_key)
    fresh = type(house.world.access)(
        house.world.store, house.world.access.accounts._vault, identity.issuer(), TakenNonces(house.world.store)
    )
    await fresh.begin(Path("/nowhere"))
    assert [each.access_key for each in fresh.tokens.ended] == [house.shops.access_key]
    assert fresh.tokens.ended.has(house.shops.access_key, 1)
    assert token


def proof(credential: Credential, at: int, nonce: bytes = b"n" * 16) -> account_service_pb2.IssueTokenRequest:
    return account_service_pb2.IssueTokenRequest(
        access_key=credential.access_key, timestamp=at, nonce=nonce, signature=credential.sign(at, nonce)
    )


@pytest.fixture
async def tokens(house: House) -> AsyncIterator[account_service_pb2_grpc.TokenServiceStub]:
    async with identity.channel(house.world.address) as channel:
        yield account_service_pb2_grpc.TokenServiceStub(channel)


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), str(refused.value.details())


async def test_a_request_for_a_token_that_was_overheard_is_worth_nothing(
    house: House, tokens: account_service_pb2_grpc.TokenServiceStub
) -> None:
    now, unknown = int(time.time()), new_credential("shop")
    request = proof(house.shops, now)
    assert (await tokens.IssueToken(request)).token
    moved = proof(house.shops, now)
    moved.timestamp += 1
    attempts = {
        "NONCE_TAKEN": request,
        "SIGNATURE_WRONG": moved,
        "CLOCK_OFF": proof(house.shops, now - 3600, b"o" * 16),
        "KEY_UNKNOWN": proof(unknown, now),
    }
    answers = {why: await refusal(tokens.IssueToken(attempt)) for why, attempt in attempts.items()}
    assert len(set(answers.values())) == 1, "nothing tells what was wrong"
    assert answers["KEY_UNKNOWN"][0] == grpc.StatusCode.UNAUTHENTICATED
    assert [each.reason for each in house.log()] == list(attempts)
    assert house.log()[-1].access_key == unknown.access_key, "claimed, not proved"


async def test_forging_tokens_is_refused_unseen_after_a_while_and_locks_nobody_else_out(house: House) -> None:
    await house.shop.accounts.who_am_i()
    stranger = Issuer(MasterKey(b"x" * 32).signing_key(), identity.REGION)
    for _ in range(25):
        forged, _ends = stranger.issue(house.shops.access_key, "shop", "default", Role.ADMIN, 1)
        with pytest.raises(errors.Unauthenticated):
            await house.call(Bearing(forged))
    assert [each.reason for each in house.log()[-25:]].count("TOO_MANY_ATTEMPTS") >= 3
    assert {each.access_key for each in house.log()[-25:]} == {house.shops.access_key}, "claimed, not proved"
    assert (await house.shop.accounts.who_am_i()).account == "shop", "a token that is known is worth what it was"
    assert (await house.operator.accounts.who_am_i()).account == "operator"


async def test_guessing_is_refused_unseen_after_a_while_and_locks_nobody_else_out(
    house: House, tokens: account_service_pb2_grpc.TokenServiceStub
) -> None:
    guess = Credential("shop", "default", house.shops.access_key, "a guess")
    for number in range(25):
        await refusal(tokens.IssueToken(proof(guess, int(time.time()), number.to_bytes(16, "big"))))
    assert "TOO_MANY_ATTEMPTS" in {each.reason for each in house.log()}
    assert (await house.operator.accounts.who_am_i()).account == "operator"


async def test_more_metadata_than_there_can_be_reaches_nobody(house: House) -> None:
    with pytest.raises(errors.SidegateError) as refused:
        await house.call(Bearing("x" * 100_000))
    assert isinstance(refused.value, errors.QuotaReached | errors.Unavailable | errors.Unauthenticated)


async def test_a_token_is_nothing_where_programs_call(house: House) -> None:
    with pytest.raises(errors.Unavailable):  # TLS wants a certificate, and ends it before there is a call
        await house.call(identity.bearer("operator"), address=house.world.internal_address)


async def test_a_certificate_of_another_authority_is_none(house: House, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", identity.REGION)
    other.provide(tmp_path / "other" / "endpoint", Subject("endpoint", program_uri(identity.REGION, "endpoint")))
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_bytes((tmp_path / "other" / "endpoint" / name).read_bytes())
    (tmp_path / "ca.pem").write_bytes(identity.ca())
    with pytest.raises(errors.Unavailable):
        await house.call(Certified(Certificates(tmp_path).calling()), address=house.world.internal_address)


async def test_a_certificate_that_names_no_program_of_this_region_is_nobodys(house: House, tmp_path: Path) -> None:
    for number, uri in enumerate((program_uri("elsewhere", "endpoint"), "spiffe://local/svc/console", "https://x/y")):
        directory = tmp_path / str(number)
        identity.authority().provide(directory, Subject("endpoint", uri))
        with pytest.raises(errors.Unauthenticated):
            await house.call(Certified(Certificates(directory).calling()), address=house.world.internal_address)
        assert house.log()[-1].reason == "NO_PROGRAM"


async def test_a_program_may_not_what_it_need_not(house: House) -> None:
    caller = Caller(house.world.internal_address, identity.gateway("default", "gw-1"))
    stub = internal_grpc.RegistryInternalServiceStub(caller.channel)
    with pytest.raises(errors.NotFound):
        await caller.ask(stub.GetForwardingSources, internal_pb2.GetForwardingSourcesRequest(every_vpc=True))
    with pytest.raises(errors.NotFound):
        await caller.ask(stub.GetTokenTrust, internal_pb2.GetTokenTrustRequest())
    assert (house.log()[-1].account, house.log()[-1].project) == ("system", "gw-1")
    await caller.close()


async def test_a_secret_is_shown_once_also_where_the_request_is_repeated(house: House) -> None:
    caller = Caller(house.world.address, identity.bearer("operator"))
    stub = account_service_pb2_grpc.AccountsServiceStub(caller.channel)
    request = account_service_pb2.CreateAccountRequest(account=account_pb2.Account(name="bank"), request_id="once")
    first, again = [await caller.ask(stub.CreateAccount, request) for _ in range(2)]
    assert first.key.secret_key
    assert (again.key.key, again.key.secret_key) == (first.key.key, "")
    rotation = account_service_pb2.RotateAccessKeyRequest(id=first.key.key.id, request_id="once")
    rotated, repeated = [await caller.ask(stub.RotateAccessKey, rotation) for _ in range(2)]
    assert rotated.secret_key not in ("", first.key.secret_key)
    assert (repeated.key, repeated.secret_key) == (rotated.key, "")
    async with client_with(house.world, credential_of(rotated)) as client:
        assert (await client.accounts.who_am_i()).account == "bank"
    await caller.close()


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[TwoServices]:
    async with two_services(tmp_path, Limits()) as running:
        yield running


async def test_a_gateway_gets_nothing_of_another_cell_and_speaks_for_no_other(services: TwoServices) -> None:
    caller = Caller(services.internal_addresses[1], identity.gateway("east", "gw-1"))
    stub = gateway_grpc.GatewayServiceStub(caller.channel)
    calls: list[Any] = [
        caller.ask(stub.Join, gateway_pb2.JoinRequest(gateway_id="gw-1", cell="west")),
        caller.ask(stub.Join, gateway_pb2.JoinRequest(gateway_id="gw-2", cell="east")),
        caller.ask(stub.Digest, gateway_pb2.DigestRequest(cell="west")),
        caller.ask(stub.ReportState, gateway_pb2.ReportStateRequest(gateway_id="gw-2")),
        anext(caller.stream(stub.Snapshot, gateway_pb2.SnapshotRequest(cell="west"))),
        anext(caller.stream(stub.Events, gateway_pb2.EventsRequest(cell="west"))),
        caller.ask(stub.ReportFlows, gateway_pb2.ReportFlowsRequest(gateway_id="gw-2", cell="east")),
        caller.ask(stub.ReportFlows, gateway_pb2.ReportFlowsRequest(gateway_id="gw-1", cell="west")),
        caller.ask(stub.ReportTraffic, traffic_pb2.ReportTrafficRequest(gateway_id="gw-2", number=1, counting="boot")),
    ]
    for call in calls:
        with pytest.raises(errors.NotFound):
            await call
    await caller.ask(stub.Join, gateway_pb2.JoinRequest(gateway_id="gw-1", cell="east"))
    await caller.close()


async def test_a_key_that_is_revoked_at_the_registry_is_nothing_at_the_endpoint_service_a_moment_later(
    services: TwoServices, tmp_path: Path
) -> None:
    path = tmp_path / "operator.json"
    await services.access.begin(path)
    addresses = (services.registry_address, services.endpoint_address)
    async with (
        Client(*addresses, credential=Credential.read(path), ca=identity.ca()) as operator,
        Client(
            *addresses, credential=credential_of((await operator.accounts.create("shop")).key), ca=identity.ca()
        ) as shop,
    ):
        assert [each async for each in shop.endpoints.list()] == []
        [key] = [each async for each in operator.accounts.keys("shop")]
        await operator.accounts.revoke_key(key.id)
        async with asyncio.timeout(10):
            while True:
                try:
                    _ = [each async for each in shop.endpoints.list()]
                except errors.Unauthenticated:
                    break


async def test_the_registry_is_no_gateway_and_a_gateway_no_registry(services: TwoServices) -> None:
    registry, gateway = services.caller("system", "registry"), services.caller("system", "gw-1")
    with pytest.raises(errors.NotFound):
        await registry.ask(registry.gateways.Join, gateway_pb2.JoinRequest(gateway_id="gw-1", cell="default"))
    with pytest.raises(errors.NotFound):
        await gateway.ask(gateway.internal.CheckEndpoints, endpoint_internal_pb2.CheckEndpointsRequest())
    await registry.ask(registry.internal.CheckEndpoints, endpoint_internal_pb2.CheckEndpointsRequest())


def test_a_principal_is_the_same_whoever_acts_for_it() -> None:
    assert Principal("shop", "default", acting="operator", access_key="AK1") == Principal("shop", "default")
