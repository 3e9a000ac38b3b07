"""Deciding on connections, one or many: what was chosen, what is done, and what is said of it."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.pages import states
from services.console.pages.forms import Typed
from services.console.pages.problems import sentence
from services.console.pages.words import gettext as _
from services.console.pages.words import ngettext
from services.console.publishing import said
from services.console.sessions.session import Session, Tone
from sidegate import conditions, errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection
from sidegate.client import Client

AT_ONCE = 100
"""How many the services decide on in one call."""

MOST_TOLD = 5
LONGEST_DRAIN = 3600
CHANGED = "CHANGED_MEANWHILE"


@dataclass(frozen=True, slots=True)
class Decision:
    """`what` is accept, reject or note. `etags` are those of what the page showed."""

    what: str
    endpoint_ids: Sequence[str]
    etags: Mapping[str, str]
    drain: int = 0
    accepted_for: int = 0
    note: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    endpoint_id: str
    reason: str
    text: str


def decision_of(form: Typed) -> Decision:
    """A row's own button names what is to be done, and with which. Raises Wrong."""
    what, _colon, alone = form.text("one").partition(":")
    ids = [alone] if alone else list(dict.fromkeys(form.all("endpoint_ids")))
    etags = {id_: etag for id_ in ids if (etag := form.text(f"etag-{id_}"))}
    what = what or form.text("decision")
    return Decision(
        what,
        ids,
        etags,
        drain=said.length(form, "drain", LONGEST_DRAIN) if what == "reject" else 0,
        accepted_for=said.length(form, "accepted_for") if what == "accept" else 0,
        note=form.text("note"),
        request_id=form.request_id,
    )


async def carry_out(session: Session, service_id: str, decision: Decision) -> None:
    """Each by itself: some may be refused. What came of it is said on the next page."""
    if not decision.endpoint_ids:
        session.say(_("Choose connections first."), Tone.WARNING)
        return
    refused = await _done(session.client, service_id, decision)
    if done := len(decision.endpoint_ids) - len(refused):
        session.say(_said(decision.what, done))
    for text in await _told(session.client, service_id, refused):
        session.say(text, Tone.WARNING)


async def _done(client: Client, service_id: str, decision: Decision) -> Sequence[Refusal]:
    if decision.what not in ("accept", "reject") or decision.accepted_for:
        outcomes = await asyncio.gather(*(_one(client, service_id, decision, id_) for id_ in decision.endpoint_ids))
        return [refusal for refusal in outcomes if refusal]
    refused: list[Refusal] = []
    for first in range(0, len(decision.endpoint_ids), AT_ONCE):
        ids = decision.endpoint_ids[first : first + AT_ONCE]
        results = await client.connections.decide(
            service_id,
            ids,
            accept=decision.what == "accept",
            drain=decision.drain,
            etags={id_: decision.etags[id_] for id_ in ids if id_ in decision.etags},
            request_id=f"{decision.request_id[:36]}-{first}" if decision.request_id else "",
        )
        refused += [Refusal(each.endpoint_id, each.reason, each.message) for each in results if each.reason]
    return refused


async def _one(client: Client, service_id: str, decision: Decision, id_: str) -> Refusal | None:
    try:
        with conditions.under(etag=decision.etags.get(id_, "")):
            await _asked(client, service_id, decision, id_)
    except errors.SidegateError as error:
        return Refusal(id_, error.reason, error.text)
    return None


def _asked(client: Client, service_id: str, decision: Decision, id_: str) -> Awaitable[Connection]:
    if decision.what == "accept":
        until = Timestamp()
        until.FromDatetime(datetime.now(UTC) + timedelta(seconds=decision.accepted_for))
        return client.connections.accept(service_id, id_, until=until)
    if decision.what == "note":
        return client.connections.note(service_id, id_, decision.note)
    raise errors.InvalidRequest(_("This is none of the choices."))


def _said(what: str, done: int) -> str:
    match what:
        case "accept":
            return ngettext("%(num)s connection is accepted.", "%(num)s connections are accepted.", done)
        case "reject":
            return ngettext("%(num)s connection is rejected.", "%(num)s connections are rejected.", done)
        case _:
            return ngettext("The note is on %(num)s connection.", "The note is on %(num)s connections.", done)


async def _told(client: Client, service_id: str, refused: Sequence[Refusal]) -> Sequence[str]:
    """What of those is so now that somebody else was faster with, and why others were refused."""
    if not refused:
        return []
    told = refused[:MOST_TOLD]
    now, _total = await client.connections.page(service_id, endpoint_ids=[each.endpoint_id for each in told])
    by_id = {connection.endpoint_id: connection for connection in now}
    texts = [_refusal(each, by_id.get(each.endpoint_id)) for each in told]
    if left := len(refused) - len(told):
        texts.append(ngettext("%(num)s more was refused.", "%(num)s more were refused.", left))
    return texts


def _refusal(refusal: Refusal, now: Connection | None) -> str:
    if now is None:
        return _("Connection %(id)s is there no more.", id=refusal.endpoint_id)
    whose = {"marker": now.marker_id, "account": now.account}
    if refusal.reason == CHANGED:
        is_now = {**whose, "state": states.of(now).word}
        return _(
            "Connection %(marker)s of %(account)s has changed since this page was made: now it is %(state)s. "
            "Nothing was done with it.",
            **is_now,
        )
    why = sentence(errors.SidegateError(refusal.text, reason=refusal.reason))
    return _("Connection %(marker)s of %(account)s: %(why)s", **whose, why=why)
