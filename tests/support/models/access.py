"""Accounts and access keys by their rules: which secret gets a token, and how long a token is good for."""

from dataclasses import dataclass, field

from sidegate import errors
from tests.support.models.registry import FINE, Refusals


@dataclass
class Key:
    account: str
    secret: str
    generation: int = 1
    revoked: bool = False


@dataclass
class Token:
    text: str
    key: str
    generation: int


@dataclass
class Access:
    """`first` is the operator's first key, which is not among `keys`: so one of his is always valid."""

    projects: dict[str, set[str]] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)

    def create_account(self, name: str) -> Refusals:
        return {errors.AlreadyExists} if name in self.projects else FINE

    def create_project(self, account: str, project: str) -> Refusals:
        if account not in self.projects:
            return {errors.NotFound}
        return {errors.AlreadyExists} if project in self.projects[account] else FINE

    def create_key(self, account: str, project: str) -> Refusals:
        return FINE if project in self.projects.get(account, ()) else {errors.NotFound}

    def rotate(self, key: str) -> Refusals:
        if key not in self.keys:
            return {errors.NotFound}
        return {errors.WrongState} if self.keys[key].revoked else FINE

    def revoke(self, key: str) -> Refusals:
        """Again is not an error."""
        return FINE if key in self.keys else {errors.NotFound}

    def sign(self, key: str, secret: str) -> Refusals:
        """Only the present secret of a key that was not revoked gets a token; what was wrong is not told."""
        held = self.keys.get(key)
        good = held is not None and not held.revoked and held.secret == secret
        return FINE if good else {errors.Unauthenticated}

    def speak(self, token: Token) -> Refusals:
        """A token ends with its key, and with the secret that it was had for."""
        key = self.keys[token.key]
        return {errors.Unauthenticated} if key.revoked or key.generation != token.generation else FINE
