"""An attachment's life, and what nobody else may name while it is there."""

import pytest

from services.common.errors import Refused, WrongState
from services.registry.domain.attachment import (
    Absent,
    AttachmentCreated,
    AttachmentDeleted,
    Command,
    Create,
    Delete,
    Deleted,
    Event,
    Present,
    State,
    constraints,
    decide,
    evolve,
)
from tests.support import registry as make
from tests.support.registry import Ledger

ATTACHMENT = make.attachment()
Expected = list[Event] | type[Refused]
TABLE: list[tuple[State, Command, Expected]] = [
    (Absent(), Create(ATTACHMENT), [AttachmentCreated(ATTACHMENT)]),
    (Absent(), Delete(), WrongState),
    (Present(ATTACHMENT), Create(ATTACHMENT), WrongState),
    (Present(ATTACHMENT), Delete(), [AttachmentDeleted()]),
    (Deleted(ATTACHMENT), Create(ATTACHMENT), WrongState),
    (Deleted(ATTACHMENT), Delete(), []),
]


@pytest.mark.parametrize(("state", "command", "expected"), TABLE)
def test_a_command_does_what_the_table_says(state: State, command: Command, expected: Expected) -> None:
    if isinstance(expected, list):
        assert decide(command, state) == expected
    else:
        with pytest.raises(expected):
            decide(command, state)


def test_a_target_and_a_vpc_are_held_in_their_cell_while_the_attachment_is_there() -> None:
    ledger = Ledger()
    ledger.apply(constraints(Absent(), AttachmentCreated(ATTACHMENT)))
    assert ledger.of("attachment-target") == ["default/netns/payments"]
    assert ledger.of("attachment-vpc") == [f"default/{make.uuid(1)}"]
    assert ledger.counts["vpc-uses", make.uuid(1)] == 1
    ledger.apply(constraints(Present(ATTACHMENT), AttachmentDeleted()))
    assert not ledger.claims
    assert ledger.counts["vpc-uses", make.uuid(1)] == 0


def test_an_attachment_leads_to_a_vpc_that_is_there() -> None:
    required = constraints(Absent(), AttachmentCreated(ATTACHMENT)).requires
    assert [(claim.kind, claim.key) for claim in required] == [("vpc", make.uuid(1))]


def test_a_stream_cannot_begin_with_a_deletion() -> None:
    with pytest.raises(LookupError):
        evolve(Absent(), AttachmentDeleted())
