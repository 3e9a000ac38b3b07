"""Pages of the operator are not there for others, and what its forms say is what the contract is told."""

import html
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import Request
from starlette.datastructures import FormData

from services.console.operators.refusals import Told
from services.console.operators.secrets import shown_once
from services.console.operators.targets import target, template
from services.console.pages.forms import Typed
from services.console.sessions.access import COOKIE
from services.console.sessions.session import MOST_ACTED, Session
from sidegate import errors
from sidegate.api.events.v1.log_pb2 import Refusal
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN, ROLE_OPERATOR, ROLE_VIEWER, Role
from sidegate.api.registry.v1.account_service_pb2 import AccessKeySecret, Identity
from sidegate.api.registry.v1.vpc_pb2 import InterfaceTarget, NetnsPattern, NetnsTarget, VxlanRange, VxlanTarget
from sidegate.client import Client
from sidegate.resources.logs import LogName
from tests.unit.console.test_every_route import console, routes

OPERATORS = ("/operator", "/act-for")


@pytest.fixture
async def others() -> AsyncIterator[tuple[httpx.AsyncClient, dict[Role.ValueType, Session]]]:
    """Sessions of tenants, of which no service may be asked: one that is would say that it is away."""
    made = console()
    sessions = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made.asgi), base_url="https://console.test") as client:
        for role in (ROLE_ADMIN, ROLE_VIEWER):
            identity = Identity(account="shop", project="default", role=role, access_key="AK1")
            sessions[role] = Session(identity, "AK1", Client(), made.sessions.now(), made.sessions.now())
            client.cookies.set(COOKIE, made.sessions.keep(sessions[role]))
        yield client, sessions
    await made.close()


Others = tuple[httpx.AsyncClient, dict[Role.ValueType, Session]]


def test_there_are_pages_of_the_operator() -> None:
    assert len([path for path in set(routes("GET")) if path.startswith(OPERATORS)]) > 8
    assert len([path for path in set(routes("POST")) if path.startswith(OPERATORS)]) > 6


@pytest.mark.parametrize("path", sorted(path for path in set(routes("GET")) if path.startswith(OPERATORS)))
async def test_no_page_of_the_operator_is_there_for_a_tenant(others: Others, path: str) -> None:
    client, _ = others
    answer = await client.get(path)
    assert answer.status_code == 404, answer.text
    assert "There is no such page." in answer.text


@pytest.mark.parametrize("path", sorted(path for path in set(routes("POST")) if path.startswith(OPERATORS)))
async def test_no_tenant_changes_anything_there(others: Others, path: str) -> None:
    client, sessions = others
    answer = await client.post(path, data={"csrf": sessions[ROLE_VIEWER].csrf, "owner": "bank/default", "name": "mine"})
    assert answer.status_code == 404, answer.text
    assert sessions[ROLE_VIEWER].acting_as is None


def form(**fields: str) -> Typed:
    return Typed(FormData(list(fields.items())))


SEGMENT = {"remotes": "192.0.2.1, 192.0.2.2", "port": "", "local": "", "mtu": "1400"}


def test_a_form_says_what_is_reached() -> None:
    assert target(form(kind="netns", namespace="shop")) == NetnsTarget(namespace="shop")
    segment = VxlanTarget(vni=7, remotes=["192.0.2.1", "192.0.2.2"], mtu=1400)
    assert target(form(kind="vxlan", vni="7", **SEGMENT)) == segment


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("eth1", InterfaceTarget(name="eth1")),
        ("02:42:0a:00:00:05", InterfaceTarget(mac="02:42:0a:00:00:05")),
        ("192.0.2.7", InterfaceTarget(address="192.0.2.7")),
    ],
)
def test_a_device_is_found_by_what_is_typed(said: str, meant: InterfaceTarget) -> None:
    assert target(form(kind="interface", interface=said)) == meant


def test_a_form_says_what_each_vpc_gets() -> None:
    assert template(form(kind="netns", namespace="{vpc_id}")) == NetnsPattern(namespace="{vpc_id}")
    numbers = VxlanRange(first_vni=7, last_vni=9, remotes=["192.0.2.1", "192.0.2.2"], mtu=1400)
    assert template(form(kind="vxlan", first_vni="7", last_vni="9", **SEGMENT)) == numbers


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "tunnel"}, "kind"),
        ({"kind": "vxlan", "vni": "many"}, "vni"),
        ({"kind": "vxlan", "vni": "7", "mtu": "-1"}, "mtu"),
        ({"kind": "vxlan", "vni": "7", "port": "99999999999"}, "port"),
    ],
)
def test_what_is_no_number_names_its_field(fields: dict[str, str], field: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        target(form(**fields))
    assert refused.value.field == field


def test_refusals_are_found_by_whatever_is_shown_of_them() -> None:
    told = Told(
        LogName.REGISTRY,
        Refusal(method="a.B/GetVpc", reason="NOT_FOUND", account="shop", project="blue", peer="192.0.2.1:5"),
    )
    assert all(told.has(text) for text in ("getvpc", "shop/blue", "not_found", "192.0.2"))
    assert not told.has("bank")
    assert Told(LogName.REGISTRY, Refusal(method="a.B/GetVpc")).who == ""


async def test_pages_of_before_are_still_answered_when_the_operator_acts_for_another() -> None:
    operator = Session(Identity(account="operator", role=ROLE_OPERATOR), "AK1", Client(), 0.0, 0.0)
    await operator.act_for("bank", "default")
    first = operator.client
    for number in range(MOST_ACTED):
        assert first in operator.acted.values()
        await operator.act_for("shop", f"p{number}")
    assert first not in operator.acted.values()
    await operator.act_for("", "")
    assert operator.client is operator.own
    await operator.close()
    assert not operator.acted


@pytest.mark.parametrize(("secret", "offered"), [("only here", 0), ("", 1)])
def test_the_page_of_a_secret_offers_nothing_that_leads_away_from_it_unasked(secret: str, offered: int) -> None:
    """Who chose dark, or Chinese, was sent to another page, and nobody can read the secret again."""
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "app": console().app}
    made = AccessKeySecret(secret_key=secret)
    made.key.id = "AK2"
    text = bytes(shown_once(Request(scope), made, "It is there.").body).decode()
    assert secret in text
    assert text.count('action="/choose"') == offered


@pytest.fixture
async def acting() -> AsyncIterator[tuple[httpx.AsyncClient, Session]]:
    """The operator, whose services are away: what is let through to them is answered with 503."""
    made = console()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made.asgi), base_url="https://console.test") as client:
        identity = Identity(account="operator", project="default", role=ROLE_OPERATOR, access_key="AK1")
        session = Session(identity, "AK1", Client(), made.sessions.now(), made.sessions.now())
        client.cookies.set(COOKIE, made.sessions.keep(session))
        yield client, session
    await made.close()


Acting = tuple[httpx.AsyncClient, Session]
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


async def test_a_form_of_an_old_tab_is_not_sent_for_another(acting: Acting) -> None:
    """The operator acted for shop, opened the form, and acted for payments in another tab: the VPC became theirs."""
    client, session = acting
    await session.act_for("shop", "default")
    old = session.csrf
    await session.act_for("payments", "default")
    said = {"csrf": old, "name": "a<b", "cidrs": "10.0.0.0/16\n10.1.0.0/16", "request_id": "7"}
    answer = await client.post("/vpcs/new", data=said)
    assert answer.status_code == 409
    assert 'data-reason="FOR_ANOTHER"' in answer.text
    assert "opened for shop/default, and by now you act for payments/default. Nothing was done." in answer.text
    again = {name: html.unescape(value) for name, value in HIDDEN.findall(answer.text.partition("<main")[2])}
    assert again == {**said, "csrf": session.csrf}
    assert (await client.post("/vpcs/new", data=again)).status_code == 503
    await session.act_for("shop", "default")
    assert (await client.post("/vpcs/new", data=said)).status_code == 503  # a reload sends it as it was


async def test_a_part_of_an_old_tab_is_told_so_where_its_page_stays_as_it_is(acting: Acting) -> None:
    client, session = acting
    old = {"hx-request": "true", "x-csrf-token": session.csrf}
    await session.act_for("payments", "default")
    answer = await client.post("/endpoints/new/look", headers=old)
    assert (answer.status_code, answer.headers["hx-retarget"]) == (409, "#refused")
    assert "opened for operator/default" in answer.text
    assert "<main" not in answer.text
    new = {"hx-request": "true", "x-csrf-token": session.csrf}
    assert (await client.post("/endpoints/new/look", headers=new)).status_code == 503


@pytest.mark.parametrize(
    ("path", "status"),
    [("/act-for", 303), ("/choose", 303), ("/sign-out", 303), ("/operator/accounts/new", 503)],
)
async def test_what_is_the_same_for_whomever_the_operator_acts_is_sent_from_old_tabs_too(
    acting: Acting, path: str, status: int
) -> None:
    client, session = acting
    old = session.csrf
    await session.act_for("payments", "default")
    assert (await client.post(path, data={"csrf": old})).status_code == status
