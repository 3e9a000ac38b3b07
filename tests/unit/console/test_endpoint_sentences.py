"""What is said of endpoints: every sentence that a service has for their owners is there in every language."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.console.endpoints import messages, sentences
from services.console.endpoints.history import began, events
from services.console.pages import words
from services.endpoint.domain import demand, endpoint_decisions, passage, presence, reachability
from services.endpoint.wire import resource
from sidegate.api.endpoint.v1.endpoint_pb2 import Condition, ConnectionState, Endpoint
from sidegate.api.endpoint.v1.watch_pb2 import EndpointChange
from sidegate.topology.graph import Tone

CHINESE = "zh_Hans_CN"
SOURCES = (presence, reachability, passage, demand, endpoint_decisions, resource)
"""Modules in which the sentences are that an endpoint's owner is told."""

NO_SENTENCES = (
    r"(the )?(one|\S+|\S+ of \S+) gateways?",
    r"\S+ port \S+",
    r" on some of its ports",
    r"backends of the service|the service ",
    r"endpoint \S+ .*",
    r"it should be forwarded, and something hinders|nothing of it is left",
    r".* does not speak the PROXY protocol: .*",
)
"""Parts of sentences, names of states, refusals of commands, and what the service's owner is told."""

STATES = ConnectionState


def told(module: object) -> Iterator[str]:
    """Every string of a module that is a sentence, with an example for each value that is put in."""
    tree = ast.parse(Path(str(module.__file__)).read_text())  # type: ignore[attr-defined] # modules have it
    docstrings = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    parts = {id(part) for each in ast.walk(tree) if isinstance(each, ast.JoinedStr) for part in each.values}
    for node in ast.walk(tree):
        if id(node) in docstrings | parts:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else _example(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 1:
            yield node.value


def _example(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    return EXAMPLES.get(ast.unparse(part.value), "7")


EXAMPLES = {
    "where": " on some of its ports",
    "_silent(len(silent), len(joined))": "the one gateway",
    "_gateways_are(joined)": "the 2 gateways",
    "reason": "service deleted",
    "readiness.reason": "service deleted",
    "asked": "tcp port 80",
}


def found() -> set[str]:
    texts = {text for module in SOURCES for text in told(module)}
    return {text for text in texts if not any(re.fullmatch(pattern, text) for pattern in NO_SENTENCES)}


def at(minute: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 5, 1, 14, minute, tzinfo=UTC))
    return stamp


def endpoint(state: ConnectionState.ValueType, reason: str = "", **more: object) -> Endpoint:
    """Not ready for the reason, or ready."""
    ready = Condition(status=not reason, reason=reason, since=at(5))
    fields: dict[str, object] = {"sources": Condition(status=True), "service_full_name": "local.db.1", **more}
    return Endpoint(state=state, ready=ready, **fields)  # type: ignore[arg-type] # they are its fields


def said(made: Endpoint, language: str = "en") -> str:
    """Without the tags of times."""
    with words.speaking(language):
        return re.sub("<[^>]*>", "", " ".join(sentences.told(made, at(3))))


def test_every_sentence_of_the_services_is_known() -> None:
    with words.speaking(CHINESE):
        unknown = [text for text in sorted(found()) if messages.said(text) == text]
    assert unknown == []


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("reason", sorted({*presence.SHOWN_REASONS, presence.NOT_WELL}))
def test_an_accepted_endpoint_says_why_no_packet_passes(reason: str, language: str) -> None:
    text = said(endpoint(STATES.CONNECTION_STATE_ACCEPTED, reason), language)
    assert ("Packets do not pass since" in text) == (language == "en")
    assert (reason in text) == (language == "en")
    with words.speaking(language):
        assert messages.said(reason) in text
        assert sentences.tone(endpoint(STATES.CONNECTION_STATE_ACCEPTED, reason)) is Tone.BAD


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (endpoint(STATES.CONNECTION_STATE_ACCEPTED), "Accepted since 14:03. Packets pass."),
        (
            endpoint(STATES.CONNECTION_STATE_PENDING_ACCEPTANCE, "the service's owner has yet to accept it"),
            "Waits for the owner of local.db.1 since 14:03. No packet passes before it is accepted.",
        ),
        (
            endpoint(STATES.CONNECTION_STATE_REJECTED, "x"),
            "The owner of local.db.1 rejected it at 14:03. No packet passes; what it has is kept.",
        ),
        (
            endpoint(STATES.CONNECTION_STATE_REJECTED, "x", rejection="it was not decided in time"),
            "Rejected since 14:03: it was not decided in time. No packet passes; what it has is kept.",
        ),
        (
            endpoint(STATES.CONNECTION_STATE_FAILED, "x", failure="service deleted"),
            "It failed at 14:03: service deleted. No packet passes: delete it, and request another.",
        ),
        (
            endpoint(STATES.CONNECTION_STATE_DELETING, "x", drain_end_time=at(9)),
            "Being deleted since 14:03. Sessions that were established before go on until 14:09.",
        ),
        (
            endpoint(STATES.CONNECTION_STATE_ACCEPTED, expire_time=at(8)),
            "Accepted since 14:03. Packets pass. The acceptance ends at 14:08.",
        ),
        (
            endpoint(STATES.CONNECTION_STATE_CREATING, "its gateways have yet to confirm it"),
            "Approved at 14:03; its gateways are being told. "
            "Packets do not pass since 14:05: its gateways have yet to confirm it.",
        ),
    ],
)
def test_a_state_is_a_sentence(made: Endpoint, sentence: str) -> None:
    text = re.sub(r"May 1, 2026, (\d+):(\d+):00\sPM UTC", lambda time: f"{int(time[1]) + 12}:{time[2]}", said(made))
    assert text == sentence
    assert not re.search("[a-z]{4}", said(made, CHINESE).replace("local.db.1", ""))


def test_what_others_have_called_is_escaped_in_a_sentence() -> None:
    made = endpoint(STATES.CONNECTION_STATE_REJECTED, rejection="<script>", service_full_name="<b>")
    assert "<script>" not in " ".join(sentences.told(made, at(3)))


def change(what: str, minute: int, made: Endpoint) -> EndpointChange:
    return EndpointChange(what=what, time=at(minute), endpoint=made)


def test_a_state_is_as_old_as_the_event_that_began_it_and_not_as_what_was_changed_since() -> None:
    accepted = endpoint(STATES.CONNECTION_STATE_ACCEPTED, update_time=at(30))
    renamed = endpoint(STATES.CONNECTION_STATE_ACCEPTED, update_time=at(30), name="shop")
    changes = [
        change("requested", 1, endpoint(STATES.CONNECTION_STATE_PENDING_ACCEPTANCE)),
        change("approved", 2, endpoint(STATES.CONNECTION_STATE_CREATING)),
        change("activated", 3, accepted),
        change("changed", 30, renamed),
    ]
    assert began(renamed, changes) == at(3)
    assert began(accepted, []) == at(30)
    assert [event.said for event in events(changes)][:2] == [
        "Changed: name",
        "Accepted: gateways may let packets pass",
    ]
