"""Views as they are published: bytes that somebody else's programs read, the same for ever."""

import ast
import json
import sys
from pathlib import Path

import pytest
from google.protobuf.message import Message

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging import subjects
from services.common.messaging.stream import LogEpoch
from services.common.messaging.subjects import InvalidToken
from services.endpoint.wire import views as endpoint_views
from services.registry.wire import views as registry_views
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, Endpoint
from sidegate.api.events.v1.view_pb2 import View

ROOT = Path(__file__).resolve().parents[2]
GOLDEN_FILES = Path(__file__).with_name("golden")
EVENTS: dict[str, str] = {
    **json.loads((GOLDEN_FILES / "registry_events.json").read_text()),
    **json.loads((GOLDEN_FILES / "endpoint_events.json").read_text()),
}
VIEWS: dict[str, list[list[str]]] = json.loads((GOLDEN_FILES / "views.json").read_text())
LOG = LogEpoch("2f0c1f7e-4a51-4e4e-9b0a-6f7f0c1d2e3a", 3)


def messages_of(type_: str) -> list[list[str]]:
    """Subject and body of each message of a golden event."""
    event = RecordedEvent(
        position=7,
        stream="stream-1",
        version=1,
        event_id=bytes(16),
        type=type_,
        schema_version=1,
        recorded_at=1_700_000_000_000_000_000,
        partition="",
        prev=0,
        data=bytes.fromhex(EVENTS[type_]),
        meta=b"",
        hash=bytes(32),
    )
    form = (registry_views if type_.startswith("registry.") else endpoint_views).VIEWS
    made = form.of(event, LOG, bytes(32))
    assert len(made) == form.messages
    assert {each.headers["source_position"] for each in made} == {"7"}
    return [[each.subject, each.data.hex()] for each in made]


def says_all_of(now: Message, then: Message) -> bool:
    """Whether a message has every field that another has, with the same in it; it may say more."""
    for field, value in then.ListFields():
        found = getattr(now, field.name)
        if field.message_type is None:
            same = found == value
        elif field.is_repeated:
            same = len(found) == len(value) and all(map(says_all_of, found, value))
        else:
            same = now.HasField(field.name) and says_all_of(found, value)
        if not same:
            return False
    return True


@pytest.mark.parametrize("type_", sorted(EVENTS))
def test_a_stored_event_is_published_as_it_always_was_or_says_more(type_: str) -> None:
    for (subject, data), (was_subject, was) in zip(messages_of(type_), VIEWS[type_], strict=True):
        assert subject == was_subject
        assert says_all_of(View.FromString(bytes.fromhex(data)), View.FromString(bytes.fromhex(was)))


def test_a_view_that_says_less_or_something_else_is_found() -> None:
    now = View(source_position=7, what="changed", endpoint=Endpoint(id="a", name="b"))
    for then in (
        View(source_position=8),
        View(endpoint=Endpoint(id="c")),
        View(endpoint=Endpoint(id="a", allowed_cidrs=["10.0.0.0/24"])),
        View(connection=Connection()),
    ):
        assert not says_all_of(now, then)
    assert says_all_of(now, View(endpoint=Endpoint(name="b")))


def test_there_are_golden_views_of_every_stored_event() -> None:
    assert set(VIEWS) == set(EVENTS)


def test_no_name_can_widen_a_views_subject_or_be_another_projects() -> None:
    assert subjects.view("shop", "live", "endpoint", "1") == "sidegate.v1.shop~live.endpoint.1"
    assert subjects.view("a~b", "c", "endpoint", "1") != subjects.view("a", "b~c", "endpoint", "1")
    for account, project in (("a.b", "*"), (">", "p"), ("a b", "p")):
        (owner,) = {subjects.view(account, project, "endpoint", "1").split(".")[2]}
        assert not set(owner) & set("*> .")
    with pytest.raises(InvalidToken):
        subjects.view("", "p", "endpoint", "1")


def test_the_example_needs_what_others_install_of_ours_and_the_nats_client_and_nothing_beside() -> None:
    tree = ast.parse((ROOT / "examples" / "subscriber.py").read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "nats", "sidegate"}
