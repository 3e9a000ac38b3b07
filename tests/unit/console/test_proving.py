"""A check of the chains is one, and is of whom it began for, whatever its session does meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.console.past.proving import begin
from services.console.sessions.session import Session
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent, VpcCreated
from sidegate.api.registry.v1.account_pb2 import ROLE_OPERATOR
from sidegate.api.registry.v1.account_service_pb2 import Identity
from tests.support.fake_sidegate import FakeSidegate


@pytest.fixture
async def session(fake: FakeSidegate) -> AsyncIterator[Session]:
    made = Session(Identity(account="operator", role=ROLE_OPERATOR), "AK1", fake.client(), 0.0, 0.0)
    yield made
    await made.close()


async def test_a_check_goes_on_as_the_operator_who_acts_for_another_meanwhile(
    fake: FakeSidegate, session: Session
) -> None:
    """The second log was asked for as the account, which may not read it: the check was refused half way."""
    for log in (fake.registry_log, fake.endpoint_log):
        log.append("vpc-1", "registry.v1.VpcCreated", RegistryEvent(vpc_created=VpcCreated()), at=1)
    proof = await begin(session, lambda _: {})
    await session.act_for("shop", "default")
    assert proof.task is not None
    await proof.task
    assert [check.refused for check in proof.checks] == [None, None]
    assert not [call for call in fake.script.calls if "sidegate-account" in call.metadata]


async def test_who_begins_twice_at_once_has_one_check(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = asyncio.Semaphore(0)
    monkeypatch.setattr("services.console.past.proving.AT_ONCE", turns)
    first, second = await asyncio.gather(*(begin(session, lambda _: {}) for _ in range(2)))
    assert first is second
    assert first.task is not None
    turns.release()
    await first.task
