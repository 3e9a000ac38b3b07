"""An account: its projects, and the access keys that speak for them. Secrets are no part of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from services.common.errors import AlreadyExists, Invalid, NotFound, QuotaReached, WrongState
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import Claim, Constraints
from services.common.principal import OPERATOR, SYSTEM, Role

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
DEFAULT_PROJECT = "default"
MOST_PROJECTS = 100
MOST_KEYS = 100
"""Valid ones of an account; one that is revoked counts no more."""


VALID, REVOKED = "VALID", "REVOKED"
"""What a key is, as lists find it."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """`generation` counts its secrets. Times are nanoseconds since the epoch, 0 for never."""

    id: str
    account: str
    project: str
    role: Role
    created_at: int
    generation: int = 1
    rotated_at: int = 0
    revoked_at: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    projects: tuple[str, ...]
    created_at: int


@dataclass(frozen=True, slots=True)
class Absent:
    pass


@dataclass(frozen=True, slots=True)
class Present:
    account: Account
    keys: Mapping[str, AccessKey]


State = Absent | Present


@dataclass(frozen=True, slots=True)
class Create:
    """A new account, with its first project and a first key of it, whose secret lies at `secret_id`."""

    name: str
    key_id: str
    secret_id: str
    at: int


@dataclass(frozen=True, slots=True)
class CreateProject:
    project: str


@dataclass(frozen=True, slots=True)
class CreateKey:
    key: AccessKey
    secret_id: str


@dataclass(frozen=True, slots=True)
class RotateKey:
    key_id: str
    secret_id: str
    at: int


@dataclass(frozen=True, slots=True)
class RevokeKey:
    key_id: str
    at: int


Command = Create | CreateProject | CreateKey | RotateKey | RevokeKey


@dataclass(frozen=True, slots=True)
class AccountCreated:
    account: Account


@dataclass(frozen=True, slots=True)
class ProjectCreated:
    project: str


@dataclass(frozen=True, slots=True)
class AccessKeyCreated:
    key: AccessKey
    secret_id: str


@dataclass(frozen=True, slots=True)
class AccessKeyRotated:
    key: AccessKey
    secret_id: str


@dataclass(frozen=True, slots=True)
class AccessKeyRevoked:
    key: AccessKey


Event = AccountCreated | ProjectCreated | AccessKeyCreated | AccessKeyRotated | AccessKeyRevoked


def decide(command: Command, state: State) -> Sequence[Event]:
    match command, state:
        case Create(name, key_id, secret_id, at), Absent():
            role = Role.OPERATOR if name == OPERATOR else Role.ADMIN
            key = AccessKey(key_id, require_name(name), DEFAULT_PROJECT, role, at)
            return [AccountCreated(Account(name, (DEFAULT_PROJECT,), at)), AccessKeyCreated(key, secret_id)]
        case Create(name), Present():
            raise AlreadyExists("NAME_TAKEN", f"there is an account {name} already", field="account.name")
        case _, Absent():
            raise LookupError("an account's stream begins with AccountCreated")
        case CreateProject(project), Present(account):
            return _create_project(project, account)
        case CreateKey(key, secret_id), Present():
            return _create_key(key, secret_id, state)
        case RotateKey(key_id, secret_id, at), Present():
            rotated = replace(_valid(key_id, state), rotated_at=at)
            return [AccessKeyRotated(replace(rotated, generation=rotated.generation + 1), secret_id)]
        case RevokeKey(key_id, at), Present():
            return _revoke(key_id, at, state)
        case _:
            raise WrongState("ACCOUNT_WRONG_STATE", f"{type(command).__name__} does not fit an account")


def evolve(state: State, event: Event) -> State:
    match event:
        case AccountCreated(account):
            return Present(account, {})
        case ProjectCreated(project):
            account, keys = of(state).account, of(state).keys
            return Present(replace(account, projects=(*account.projects, project)), keys)
        case AccessKeyCreated(key) | AccessKeyRotated(key) | AccessKeyRevoked(key):
            before = of(state)
            return Present(before.account, {**before.keys, key.id: key})
        case _:
            assert_never(event)


def constraints(_state: State, event: Event) -> Constraints:
    match event:
        case AccessKeyCreated(key):
            return Constraints(claims=(Claim("access-key", key.id),))
        case _:
            return Constraints()


def of(state: State) -> Present:
    """The state, of an account that is there."""
    match state:
        case Absent():
            raise LookupError("an account's stream begins with AccountCreated")
        case Present():
            return state
        case _:
            assert_never(state)


def require_name(name: str, field: str = "account.name") -> str:
    """Raises Invalid for what cannot be a name, and for the programs' own."""
    if not NAME.fullmatch(name):
        raise Invalid("NAME_INVALID", f"{name!r} is no name: 1 to 63 letters, digits, '_' and '-'", field=field)
    if name == SYSTEM:
        raise Invalid("NAME_RESERVED", f"{name} is reserved for Sidegate's own programs", field=field)
    return name


def _create_project(project: str, account: Account) -> Sequence[Event]:
    if project in account.projects:
        text = f"account {account.name} has a project {project} already"
        raise AlreadyExists("NAME_TAKEN", text, field="project")
    if len(account.projects) >= MOST_PROJECTS:
        raise QuotaReached("PROJECT_QUOTA", f"account {account.name} has {MOST_PROJECTS} projects, as many as it may")
    return [ProjectCreated(require_name(project, "project"))]


def _create_key(key: AccessKey, secret_id: str, state: Present) -> Sequence[Event]:
    if key.role not in (Role.OPERATOR, Role.ADMIN, Role.VIEWER) or (key.role is Role.OPERATOR) != (
        key.account == OPERATOR
    ):
        text = f"keys of the account {OPERATOR} have the role OPERATOR, others have ADMIN or VIEWER"
        raise Invalid("ROLE_INVALID", text, field="key.role")
    if key.project not in state.account.projects:
        raise NotFound("project", key.project)
    if sum(not each.revoked_at for each in state.keys.values()) >= MOST_KEYS:
        raise QuotaReached("KEY_QUOTA", f"account {key.account} has {MOST_KEYS} valid keys, as many as it may")
    return [AccessKeyCreated(key, secret_id)]


def _revoke(key_id: str, at: int, state: Present) -> Sequence[Event]:
    found = state.keys.get(key_id)
    if found is not None and found.revoked_at:
        return []
    key = _valid(key_id, state)
    others = (each for each in state.keys.values() if each.id != key_id)
    if key.role is Role.OPERATOR and all(each.revoked_at for each in others):
        text = "it is the operator's last valid key: create another first"
        raise WrongState("LAST_OPERATOR_KEY", text)
    return [AccessKeyRevoked(replace(key, revoked_at=at))]


def _valid(key_id: str, state: Present) -> AccessKey:
    key = state.keys.get(key_id)
    if key is None:
        raise NotFound("key", key_id)
    if key.revoked_at:
        raise WrongState("KEY_REVOKED", f"key {key_id} is revoked: create another")
    return key


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
