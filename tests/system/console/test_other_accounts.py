"""Every route of the console, walked with the ids of another account: nothing of it is shown, and nothing changes."""

import re
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
import pytest_asyncio

from sidegate.credentials import Credential
from tests.support.console_routes import asked as queries
from tests.support.console_routes import filled, templates
from tests.support.neighbours import Neighbour, Neighbours, neighbours
from tests.support.signed_in import signed_in, token, visiting
from tests.support.standalone import Standalone

pytestmark = pytest.mark.asyncio(loop_scope="package")

OWN = {"/sign-in", "/sign-in/provider", "/sign-in/provider/back", "/sign-out", "/choose", "/live"}
"""What is the visitor's own, and the stream, which has no end."""

ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ASKED = ("id", "vpc", "service", "name", "q", "owner", "account", "kind")
"""Names by which pages may be asked for some of what they have, beside those that routes declare."""


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def town(sidegate: Standalone, tenant: Callable[[str], Credential]) -> AsyncIterator[Neighbours]:
    async with neighbours(sidegate, tenant) as made:
        yield made


def ids_of_all(town: Neighbours) -> dict[str, str]:
    """The provider's, and the endpoint; other parameters are names of what is there."""
    extra = {"name": town.provider.account, "key": town.provider.key.access_key, "cell": "cell-1", "kind": "csv"}
    return {**town.consumer.ids, **town.provider.ids, **extra}


def ids_of(town: Neighbours, side: str) -> dict[str, str]:
    return {**ids_of_all(town), **(town.provider.ids if side == "provider" else town.consumer.ids)}


def asked(town: Neighbours) -> Iterator[str]:
    """Paths of pages, with ids of either side where they may be."""
    everything = {**town.provider.ids, **{f"their {kind}": id_ for kind, id_ in town.consumer.ids.items()}}
    for template in templates("GET"):
        if template in OWN:
            continue
        if template == "/find/{id_}":
            yield from (f"/find/{id_}" for id_ in everything.values())
        for side in ("provider", "consumer"):
            if path := filled(template, ids_of(town, side)):
                yield path
        if "{" not in template:
            for number, name in enumerate(dict.fromkeys((*queries(template), *ASKED))):
                yield f"{template}?{name}={list(everything.values())[number % len(everything)]}"
            yield f"{template}?owner={town.provider.account}/default&account={town.provider.account}"


def shown(answer: httpx.Response, hidden: list[str], sent: str) -> list[str]:
    """What of the hidden is in an answer, that was not in the question."""
    return [each for each in hidden if each in answer.text and each not in sent]


async def walk(browser: httpx.AsyncClient, paths: list[str], hidden: list[str]) -> list[str]:
    found = []
    for path in paths:
        answer = await browser.get(path)
        assert answer.status_code < 500, f"{path}: {answer.status_code}\n{answer.text}"
        found += [f"GET {path}: {each}" for each in shown(answer, hidden, path)]
    return found


@pytest.mark.parametrize("who", ["stranger", "consumer", "provider"])
async def test_no_page_shows_anything_of_another_account(sidegate: Standalone, town: Neighbours, who: str) -> None:
    key = {"stranger": town.stranger, "consumer": town.consumer.key, "provider": town.provider.key}[who]
    paths = list(dict.fromkeys(asked(town)))
    if who != "stranger":
        paths = [path for path in paths if "?" not in path]
    async with signed_in(sidegate, key) as browser:
        found = await walk(browser, paths, town.hidden_from(key))
    assert not found, "\n".join(found)


async def test_what_is_anothers_looks_like_what_is_not_there(sidegate: Standalone, town: Neighbours) -> None:
    nothing = dict.fromkeys(ids_of_all(town), "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c")
    async with signed_in(sidegate, town.stranger) as browser:
        for template in templates("GET"):
            if "{" not in template or template.startswith(("/operator", "/past")):
                continue
            there, not_there = filled(template, ids_of_all(town)), filled(template, nothing)
            answers = [await browser.get(path) for path in (there, not_there) if path]
            assert len({answer.status_code for answer in answers}) == 1, template
            if answers[0].status_code < 300:  # a part of a page that has nothing to tell
                said = [ID.sub("", answer.text) for answer in answers]
                assert said[0] == said[1], there
            else:
                assert answers[0].status_code in (404, 303), f"{there}: {answers[0].status_code}"


async def test_nobody_sees_anything(sidegate: Standalone, town: Neighbours) -> None:
    hidden = [*town.provider.secrets, *town.consumer.secrets]
    async with visiting(sidegate) as browser:
        assert not await walk(browser, [path for path in asked(town) if "?" not in path], hidden)
        visit = await token(browser, "/sign-in")
        for path in changes(town):
            answer = await browser.post(path, data={"csrf": visit, **form(town)})
            assert answer.status_code in (303, 401, 404), f"POST {path}: {answer.status_code}"
            assert not shown(answer, hidden, str(form(town)))


def changes(town: Neighbours) -> list[str]:
    paths = []
    for template in templates("POST"):
        if template not in OWN:
            paths += [path for side in ("provider", "consumer") if (path := filled(template, ids_of(town, side)))]
    return list(dict.fromkeys(paths))


def form(town: Neighbours, whose: Neighbour | None = None) -> dict[str, object]:
    """Fields of all forms, with ids of one of the two: what each of them would do, if it were his."""
    owner, consumer = whose or town.provider, town.consumer.ids
    mine = {**town.provider.ids, **owner.ids}
    return {
        "name": "walked",
        "description": "walked",
        "vpc": mine["vpc"],
        "vpc_id": mine["vpc"],
        "subnet": mine["subnet"],
        "subnet_id": mine["subnet"],
        "cidr": f"{owner.network}.9.0/24",
        "cidrs": "10.199.0.0/16",
        "holder": "machine/walked",
        "address": f"{owner.network}.3.99",
        "backend_port": mine["port"],
        "backend_address": f"{owner.network}.3.88",
        "backend_weight": "1",
        "client_port": "443",
        "server_port": "443",
        "protocol": "PROTOCOL_TCP",
        "service": mine["service"],
        "endpoint_ids": [consumer["endpoint"]],
        "endpoint": consumer["endpoint"],
        "decision": "accept",
        "note": "walked",
        "permissions": "iam:domain::spy",
        "accounts": "spy",
        "owner": f"{owner.account}/default",
        "what": "delete",
        "sure": "1",
        "force": "1",
        "next": "/",
    }


@pytest.mark.parametrize("who", ["stranger", "consumer", "provider", "viewer"])
async def test_no_form_changes_anything_of_another_account(sidegate: Standalone, town: Neighbours, who: str) -> None:
    """A viewer changes nothing of his own either."""
    keys = {"stranger": town.stranger, "viewer": town.viewer}
    key = keys.get(who) or {"consumer": town.consumer.key, "provider": town.provider.key}[who]
    before = [await each.state() for each in (town.provider, town.consumer)]
    hidden = [] if who == "viewer" else town.hidden_from(key)
    found = []
    async with signed_in(sidegate, key) as browser:
        csrf = await token(browser, "/vpcs")
        for path in changes(town):
            if who in ("provider", "consumer") and not _is_of_the_other(town, who, path):
                continue
            sent = {**form(town, town.consumer if who == "provider" else None), "csrf": csrf}
            answer = await browser.post(path, data=sent)
            assert answer.status_code < 500, f"POST {path}: {answer.status_code}\n{answer.text}"
            found += [f"POST {path}: {each}" for each in shown(answer, hidden, f"{path} {sent}")]
    after = [await each.state() for each in (town.provider, town.consumer)]
    assert not found, "\n".join(found)
    for was, now in zip(before, after, strict=True):
        changed = [f"{kind}: {was[kind]}\nis now\n{now[kind]}" for kind in was if was[kind] != now[kind]]
        assert not changed, "\n".join(changed)


def _is_of_the_other(town: Neighbours, who: str, path: str) -> bool:
    """One's own service and its connections may be changed, and one's own network."""
    other = town.consumer if who == "provider" else town.provider
    mine = town.provider if who == "provider" else town.consumer
    return any(id_ in path for id_ in other.ids.values()) and not any(id_ in path for id_ in mine.ids.values())
