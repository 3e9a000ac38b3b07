"""A credential for a project's own programs: a user of NATS that reads the project's view. Its key is no part of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from services.common.errors import Invalid, WrongState
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import Claim, Constraints, Count
from services.common.principal import Principal

DAY = 86_400 * 10**9
LONGEST = 366 * DAY
"""Nanoseconds that a credential is good for at most: what was revoked has to be remembered for as long."""

MOST = 100
"""Credentials of a project that were not revoked."""

IN_USE = "events-credentials"
KEY = "events-credential-key"


@dataclass(frozen=True, slots=True)
class Credential:
    """Times are nanoseconds since the epoch, 0 for never."""

    id: str
    owner: Principal
    public_key: str
    created_at: int
    expires_at: int
    revoked_at: int = 0


@dataclass(frozen=True, slots=True)
class Absent:
    pass


@dataclass(frozen=True, slots=True)
class Present:
    credential: Credential


State = Absent | Present


@dataclass(frozen=True, slots=True)
class Create:
    credential: Credential


@dataclass(frozen=True, slots=True)
class Revoke:
    at: int


Command = Create | Revoke


@dataclass(frozen=True, slots=True)
class CredentialCreated:
    credential: Credential


@dataclass(frozen=True, slots=True)
class CredentialRevoked:
    at: int


Event = CredentialCreated | CredentialRevoked


def decide(command: Command, state: State) -> Sequence[Event]:
    match command, state:
        case Create(credential), Absent():
            return [CredentialCreated(_lasting(credential))]
        case Revoke(at), Present(credential):
            return [] if credential.revoked_at else [CredentialRevoked(at)]
        case _:
            raise WrongState("CREDENTIAL_WRONG_STATE", f"{type(command).__name__} does not fit a credential")


def evolve(state: State, event: Event) -> State:
    match event:
        case CredentialCreated(credential):
            return Present(credential)
        case CredentialRevoked(at):
            return Present(replace(of(state), revoked_at=at))
        case _:
            assert_never(event)


def constraints(state: State, event: Event) -> Constraints:
    match event:
        case CredentialCreated(credential):
            # Its key is claimed for ever: what is revoked is the key.
            key = Claim(KEY, credential.public_key)
            return Constraints(claims=(key,), counts=(Count(IN_USE, str(credential.owner), 1, MOST),))
        case CredentialRevoked():
            return Constraints(counts=(Count(IN_USE, str(of(state).owner), -1),))
        case _:
            assert_never(event)


def of(state: State) -> Credential:
    """The credential of a state that has one."""
    match state:
        case Absent():
            raise LookupError("a credential's stream begins with CredentialCreated")
        case Present(credential):
            return credential
        case _:
            assert_never(state)


def _lasting(credential: Credential) -> Credential:
    end = credential.expires_at or credential.created_at + LONGEST
    if not credential.created_at < end <= credential.created_at + LONGEST:
        text = "a credential ends in the future, and not later than 366 days after its creation"
        raise Invalid("EXPIRY_INVALID", text, field="credential.expire_time")
    return replace(credential, expires_at=end)


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
