"""An account: projects and keys, what may be done with them, and what may not."""

from dataclasses import replace

import pytest

from services.common.errors import AlreadyExists, Invalid, NotFound, QuotaReached, Refused, WrongState
from services.common.principal import OPERATOR, SYSTEM, Role
from services.registry.domain.account import (
    DECIDER,
    MOST_KEYS,
    MOST_PROJECTS,
    AccessKey,
    AccessKeyCreated,
    AccessKeyRevoked,
    AccessKeyRotated,
    Account,
    AccountCreated,
    Command,
    Create,
    CreateKey,
    CreateProject,
    Event,
    ProjectCreated,
    RevokeKey,
    RotateKey,
    State,
    decide,
)

AT = 1_700_000_000_000_000_000
KEY = AccessKey("AK1", "shop", "default", Role.ADMIN, AT)
CREATED = (AccountCreated(Account("shop", ("default",), AT)), AccessKeyCreated(KEY, "s1"))


def after(*events: Event) -> State:
    return DECIDER.fold((*CREATED, *events))


def key(number: int, role: Role = Role.VIEWER, project: str = "default") -> AccessKey:
    return replace(KEY, id=f"AK{number}", role=role, project=project)


def test_an_account_begins_with_a_project_and_an_admins_key_of_it() -> None:
    assert decide(Create("shop", "AK1", "s1", AT), DECIDER.initial) == list(CREATED)


def test_the_operators_first_key_is_an_operators() -> None:
    _, made = decide(Create(OPERATOR, "AK1", "s1", AT), DECIDER.initial)
    assert isinstance(made, AccessKeyCreated)
    assert made.key.role is Role.OPERATOR


def test_projects_and_keys_are_added_rotated_and_revoked() -> None:
    assert decide(CreateProject("live"), after()) == [ProjectCreated("live")]
    viewer = key(2, project="live")
    assert decide(CreateKey(viewer, "s2"), after(ProjectCreated("live"))) == [AccessKeyCreated(viewer, "s2")]
    rotated = replace(KEY, generation=2, rotated_at=AT + 1)
    assert decide(RotateKey("AK1", "s3", AT + 1), after()) == [AccessKeyRotated(rotated, "s3")]
    revoked = replace(KEY, revoked_at=AT + 2)
    assert decide(RevokeKey("AK1", AT + 2), after()) == [AccessKeyRevoked(revoked)]
    assert decide(RevokeKey("AK1", AT + 3), after(AccessKeyRevoked(revoked))) == [], "again is no error"


@pytest.mark.parametrize(
    ("command", "state", "refusal"),
    [
        (Create("shop", "AK9", "s9", AT), after(), AlreadyExists),
        (Create(SYSTEM, "AK9", "s9", AT), DECIDER.initial, Invalid),
        (Create("no spaces", "AK9", "s9", AT), DECIDER.initial, Invalid),
        (Create("x" * 64, "AK9", "s9", AT), DECIDER.initial, Invalid),
        (CreateProject("default"), after(), AlreadyExists),
        (CreateProject("a/b"), after(), Invalid),
        (CreateProject("one-more"), after(*(ProjectCreated(f"p{n}") for n in range(MOST_PROJECTS - 1))), QuotaReached),
        (CreateKey(key(2, Role.OPERATOR), "s"), after(), Invalid),
        (CreateKey(key(2, Role.REGISTRY), "s"), after(), Invalid),
        (CreateKey(key(2, Role.ADMIN, project="nowhere"), "s"), after(), NotFound),
        (
            CreateKey(key(0), "s"),
            after(*(AccessKeyCreated(key(n), "s") for n in range(2, MOST_KEYS + 1))),
            QuotaReached,
        ),
        (RotateKey("AK9", "s", AT), after(), NotFound),
        (RevokeKey("AK9", AT), after(), NotFound),
        (RotateKey("AK1", "s", AT), after(AccessKeyRevoked(replace(KEY, revoked_at=AT))), WrongState),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type) else value.__name__,
)
def test_what_may_not_be_is_refused(command: Command, state: State, refusal: type[Refused]) -> None:
    with pytest.raises(refusal):
        decide(command, state)


def test_the_operator_cannot_lock_itself_out() -> None:
    first = replace(KEY, account=OPERATOR, role=Role.OPERATOR)
    alone = DECIDER.fold([AccountCreated(Account(OPERATOR, ("default",), AT)), AccessKeyCreated(first, "s")])
    with pytest.raises(WrongState):
        decide(RevokeKey("AK1", AT), alone)
    two = DECIDER.fold([AccessKeyCreated(replace(first, id="AK2"), "s")], alone)
    assert decide(RevokeKey("AK1", AT), two)
