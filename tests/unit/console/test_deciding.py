"""Decisions on many connections: a hundred at a time, each once however often it is sent, and what is said of them."""

import uuid
from collections.abc import AsyncIterator

import pytest
from starlette.datastructures import FormData, UploadFile

from services.console.pages.forms import Typed
from services.console.publishing import said
from services.console.publishing.decisions import carry_out, decision_of
from services.console.sessions.session import Session
from sidegate.api.endpoint.v1 import endpoint_pb2
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN
from sidegate.api.registry.v1.account_service_pb2 import Identity
from tests.support.fake_sidegate import FakeSidegate

SERVICE = str(uuid.uuid4())


@pytest.fixture
async def session(fake: FakeSidegate) -> AsyncIterator[Session]:
    identity = Identity(account="shop", project="front", role=ROLE_ADMIN, access_key="AK1")
    async with fake.client("shop", "front") as client:
        yield Session(identity, "AK1", client, 0.0, 0.0)


def asked(fake: FakeSidegate, number: int, state: endpoint_pb2.ConnectionState.ValueType) -> list[str]:
    ids = [str(uuid.uuid4()) for _ in range(number)]
    for marker, id_ in enumerate(ids, 1):
        fake.endpoints.endpoints[id_] = Endpoint(id=id_, service=SERVICE, marker_id=marker, state=state)
    return ids


def form(*fields: tuple[str, str]) -> Typed:
    data: list[tuple[str, str | UploadFile]] = list(fields)
    return Typed(FormData(data))


def texts(session: Session) -> list[str]:
    return [notice.text for notice in session.said()]


async def test_more_than_a_hundred_are_decided_in_several_calls_each_with_an_id_of_its_own(
    fake: FakeSidegate, session: Session
) -> None:
    ids = asked(fake, 130, endpoint_pb2.CONNECTION_STATE_PENDING_ACCEPTANCE)
    chosen = form(("decision", "accept"), ("request_id", "once"), *(("endpoint_ids", id_) for id_ in ids))
    await carry_out(session, SERVICE, decision_of(chosen))
    assert texts(session) == ["130 connections are accepted."]
    assert fake.connections.request_ids == ["once-0", "once-100"]


async def test_what_is_refused_is_said_of_each_and_the_others_are_decided(fake: FakeSidegate, session: Session) -> None:
    [failed] = asked(fake, 1, endpoint_pb2.CONNECTION_STATE_FAILED)
    [waiting] = asked(fake, 1, endpoint_pb2.CONNECTION_STATE_PENDING_ACCEPTANCE)
    chosen = form(("decision", "reject"), ("drain", "2m"), ("endpoint_ids", failed), ("endpoint_ids", waiting))
    await carry_out(session, SERVICE, decision_of(chosen))
    assert texts(session) == ["1 connection is rejected.", "Connection 1 of shop: no"]
    assert fake.endpoints.drains == [120]


async def test_without_a_choice_nothing_is_asked_for(fake: FakeSidegate, session: Session) -> None:
    await carry_out(session, SERVICE, decision_of(form(("decision", "accept"))))
    assert texts(session) == ["Choose connections first."]
    assert fake.connections.request_ids == []


async def test_a_note_is_put_on_all_that_are_chosen(fake: FakeSidegate, session: Session) -> None:
    ids = asked(fake, 2, endpoint_pb2.CONNECTION_STATE_ACCEPTED)
    chosen = form(("decision", "note"), ("note", "paid"), *(("endpoint_ids", id_) for id_ in ids))
    await carry_out(session, SERVICE, decision_of(chosen))
    assert fake.connections.notes == dict.fromkeys(ids, "paid")
    assert texts(session) == ["The note is on 2 connections."]


def test_a_rows_own_button_decides_on_it_alone_under_its_etag() -> None:
    decision = decision_of(
        form(("one", "reject:b"), ("endpoint_ids", "a"), ("etag-a", "1"), ("etag-b", "2"), ("accepted_for", "soon"))
    )
    assert (decision.what, decision.endpoint_ids, decision.etags) == ("reject", ["b"], {"b": "2"})


def test_a_drain_is_an_hour_at_most() -> None:
    with pytest.raises(said.Wrong) as wrong:
        decision_of(form(("decision", "reject"), ("drain", "2h"), ("endpoint_ids", "a")))
    assert wrong.value.problem.field == "drain"
