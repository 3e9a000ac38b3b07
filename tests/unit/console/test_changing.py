"""What is changed is what was shown: a refusal hides no change that somebody else made meanwhile."""

import re
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest

from services.console.sessions.access import COOKIE
from services.console.sessions.session import Session
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.account_pb2 import ROLE_OPERATOR
from sidegate.api.registry.v1.account_service_pb2 import Identity
from sidegate.api.registry.v1.vpc_pb2 import DefaultAttachment
from tests.support.fake_sidegate import FakeSidegate
from tests.unit.console.test_every_route import console

ENDPOINT = "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"
BAD, OUTDATED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ABORTED
SHOWN = re.compile(r'name="etag" value="([^"]*)"')


@pytest.fixture
def fake(fake: FakeSidegate) -> FakeSidegate:
    fake.endpoints.endpoints[ENDPOINT] = Endpoint(id=ENDPOINT, name="till", etag="1")
    fake.registry.defaults["far"] = DefaultAttachment(cell="far", etag="1")
    return fake


@pytest.fixture
async def client(fake: FakeSidegate) -> AsyncIterator[httpx.AsyncClient]:
    """The operator's, whose forms carry their token."""
    made = console()
    identity = Identity(account="operator", project="default", role=ROLE_OPERATOR, access_key="AK1")
    session = Session(identity, "AK1", fake.client(), made.sessions.now(), made.sessions.now())
    cookies, token = {COOKIE: made.sessions.keep(session)}, {"x-csrf-token": session.csrf}
    transport = httpx.ASGITransport(made.asgi)
    async with httpx.AsyncClient(
        transport=transport, base_url="https://console.test", cookies=cookies, headers=token
    ) as browser:
        yield browser
    await made.close()


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (f"/endpoints/{ENDPOINT}/edit", "UpdateEndpoint"),
        (f"/endpoints/{ENDPOINT}/delete", "DeleteEndpoint"),
        ("/operator/defaults/edit?cell=far", "SetDefaultAttachment"),
    ],
)
async def test_a_form_that_was_refused_is_of_what_it_showed_until_its_reader_is_told_of_another(
    fake: FakeSidegate, client: httpx.AsyncClient, path: str, method: str
) -> None:
    """The form of a bad field came back with the etag of somebody else's change, which saving it took back unseen."""
    assert SHOWN.findall((await client.get(path)).text) == ["1"]
    fake.endpoints.endpoints[ENDPOINT].etag = fake.registry.defaults["far"].etag = "2"
    form = {"etag": "1", "kind": "netns", "namespace": "x", "cell": "far", "request_id": "7"}
    fake.refuse(method, BAD, "this is no range")
    bad = await client.post(path, data=form)
    assert (bad.status_code, SHOWN.findall(bad.text)) == (422, ["1"])
    fake.refuse(method, OUTDATED, "it has changed")
    told = await client.post(path, data=form)
    assert (told.status_code, SHOWN.findall(told.text)) == (409, ["2"])
    assert fake.called(method) == 2


@pytest.mark.parametrize("drain", ["2h", "30000d", "999999999d", "long"])
async def test_a_length_that_nobody_waits_is_refused_at_its_field(
    fake: FakeSidegate, client: httpx.AsyncClient, drain: str
) -> None:
    """30000d are more seconds than the contract can say, which was a 500."""
    answer = await client.post(f"/endpoints/{ENDPOINT}/delete", data={"etag": "1", "drain": drain})
    assert answer.status_code == 422
    assert f'value="{drain}"' in answer.text
    wrong = re.search(r'id="drain-wrong">([^<]*)<', answer.text)
    assert wrong and wrong[1] == "A length of time, such as 30s, 15m, 12h or 7d; 1h at most."
    assert fake.called("DeleteEndpoint") == 0
