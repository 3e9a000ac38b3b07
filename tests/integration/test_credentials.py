"""Credentials for a project's events, over gRPC: whose they are, how many, how long; and no secret in a log."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.common.principal import Role
from services.registry.domain.credential import MOST
from sidegate import errors
from sidegate.access import Untold
from sidegate.api.registry.v1 import credential_service_pb2 as rpc
from sidegate.api.registry.v1.credential_pb2 import EventsCredential
from sidegate.api.registry.v1.credential_service_pb2_grpc import CredentialsServiceStub
from sidegate.client import Client
from sidegate.nkeys import KeyPair
from sidegate.nkeys import Role as KeyOf
from sidegate.transport import Caller
from tests.support import identity
from tests.support.identity import Bearing, Known
from tests.support.registry_service import RegistryWorld, running_registry


@dataclass
class Site:
    world: RegistryWorld
    shop: Client
    payments: Client


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running_registry(tmp_path))
        shop = await stack.enter_async_context(Known(registry=world.address, account="shop"))
        payments = await stack.enter_async_context(Known(registry=world.address, account="payments"))
        yield Site(world, shop, payments)


@asynccontextmanager
async def asking(site: Site, access: Untold) -> AsyncIterator[tuple[Caller, CredentialsServiceStub]]:
    caller = Caller(site.world.address, access)
    try:
        yield caller, CredentialsServiceStub(caller.channel)
    finally:
        await caller.close()


async def test_a_credential_is_of_its_project_and_its_key_is_in_no_log(site: Site) -> None:
    made, credential = await site.shop.credentials.create_events()
    assert (made.account, made.project, made.public_key) == ("shop", "default", credential.key.public)
    assert credential.name == made.consumer == f"sub-{made.id}"
    lasts = made.expire_time.ToDatetime() - made.create_time.ToDatetime()
    assert lasts == timedelta(days=366)
    stored = [event.data + event.meta for event in await site.world.store.read(0, 100)]
    assert any(credential.key.public.encode() in each for each in stored)
    assert not any(credential.key.seed.encode() in each for each in stored)
    assert [each.id async for each in site.shop.credentials.events()] == [made.id]
    assert [each.id async for each in site.payments.credentials.events()] == []


async def test_another_projects_credential_is_not_there(site: Site) -> None:
    made, _ = await site.shop.credentials.create_events()
    with pytest.raises(errors.NotFound, match=f"credential {made.id} is not there"):
        await site.payments.credentials.revoke_events(made.id)
    assert [each.HasField("revoke_time") async for each in site.shop.credentials.events()] == [False]


async def test_a_viewer_lists_and_makes_none(site: Site) -> None:
    made, _ = await site.shop.credentials.create_events()
    async with asking(site, Bearing(identity.token("shop", role=Role.VIEWER))) as (caller, stub):
        listed = await caller.ask(stub.ListEventsCredentials, rpc.ListEventsCredentialsRequest(want_total=True))
        assert ([each.id for each in listed.credentials], listed.total_size) == ([made.id], 1)
        wanted = EventsCredential(public_key=KeyPair.new(KeyOf.USER).public)
        with pytest.raises(errors.NotFound):
            await caller.ask(stub.CreateEventsCredential, rpc.CreateEventsCredentialRequest(credential=wanted))
        with pytest.raises(errors.NotFound):
            await caller.ask(stub.RevokeEventsCredential, rpc.RevokeEventsCredentialRequest(id=made.id))


async def test_revoking_is_for_good_and_again_is_no_error(site: Site) -> None:
    made, _ = await site.shop.credentials.create_events()
    revoked = await site.shop.credentials.revoke_events(made.id)
    assert revoked.HasField("revoke_time")
    assert revoked.etag != made.etag
    assert await site.shop.credentials.revoke_events(made.id) == revoked


async def test_a_key_is_taken_once_even_by_another_project(site: Site) -> None:
    key = KeyPair.new(KeyOf.USER).public
    request = rpc.CreateEventsCredentialRequest(credential=EventsCredential(public_key=key), request_id="r1")
    async with asking(site, Bearing(identity.token("shop"))) as (caller, stub):
        first = await caller.ask(stub.CreateEventsCredential, request)
        assert await caller.ask(stub.CreateEventsCredential, request) == first, "the same answer to the same request"
        await caller.ask(stub.RevokeEventsCredential, rpc.RevokeEventsCredentialRequest(id=first.credential.id))
    async with asking(site, Bearing(identity.token("payments"))) as (caller, stub):
        with pytest.raises(errors.AlreadyExists, match="this key already"):
            await caller.ask(stub.CreateEventsCredential, request)


@pytest.mark.parametrize(
    "key",
    ["", "guessed", KeyPair.new(KeyOf.ACCOUNT).public, KeyPair.new(KeyOf.USER).seed],
    ids=["nothing", "no key", "an account's", "a secret"],
)
async def test_what_is_no_key_of_a_user_is_refused(site: Site, key: str) -> None:
    request = rpc.CreateEventsCredentialRequest(credential=EventsCredential(public_key=key))
    async with asking(site, Bearing(identity.token("shop"))) as (caller, stub):
        with pytest.raises(errors.InvalidRequest, match="no public key") as refused:
            await caller.ask(stub.CreateEventsCredential, request)
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("days", [-1, 400])
async def test_a_credential_ends_in_the_future_and_not_too_late(site: Site, days: int) -> None:
    with pytest.raises(errors.InvalidRequest, match="366 days"):
        await site.shop.credentials.create_events(datetime.now(UTC) + timedelta(days=days))


async def test_one_that_is_only_validated_is_not_made_and_not_signed(site: Site) -> None:
    wanted = EventsCredential(public_key=KeyPair.new(KeyOf.USER).public)
    request = rpc.CreateEventsCredentialRequest(credential=wanted, validate_only=True)
    async with asking(site, Bearing(identity.token("shop"))) as (caller, stub):
        told = await caller.ask(stub.CreateEventsCredential, request)
    assert (told.credential.public_key, told.jwt) == (wanted.public_key, "")
    assert [each async for each in site.shop.credentials.events()] == []


async def test_a_project_has_no_more_than_it_may_and_what_is_revoked_counts_no_more(site: Site) -> None:
    first, _ = await site.shop.credentials.create_events()
    for _ in range(MOST - 1):
        await site.shop.credentials.create_events()
    with pytest.raises(errors.SidegateError, match="revoke one first"):
        await site.shop.credentials.create_events()
    await site.payments.credentials.create_events()
    await site.shop.credentials.revoke_events(first.id)
    await site.shop.credentials.create_events()
