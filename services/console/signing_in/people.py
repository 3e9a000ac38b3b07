"""Who of the OpenID provider is whom in Sidegate: a file that names a credential for each of them, or for a group."""

import stat
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.console.signing_in.keys import InVain
from sidegate.credentials import BadCredential, Credential

LONGEST_NAME = 80


class Unreadable(Exception):
    """The file, or one that it names, is not as it has to be. The text names it, and never what is in it."""


class Unknown(InVain):
    """The file has nobody of whom the provider says what it says."""


class Entry(BaseModel):
    """Exactly one of `subject`, `email` and `group` says who it is for."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    subject: str = ""
    email: str = ""
    group: str = ""
    credential: Path

    @model_validator(mode="after")
    def _is_for_somebody(self) -> Self:
        if sum(map(bool, (self.subject, self.email, self.group))) != 1:
            raise ValueError("one of subject, email and group is needed, and no more")
        return self

    def fits(self, claims: Mapping[str, Any], groups: str) -> bool:
        """An address counts only where the provider has verified it; anybody might have typed it."""
        if self.subject:
            return bool(claims.get("sub") == self.subject)
        if self.email:
            said = claims.get("email")
            same = isinstance(said, str) and said.casefold() == self.email.casefold()
            return same and claims.get("email_verified") is True
        member = claims.get(groups)
        return isinstance(member, list) and self.group in member


class People(BaseModel):
    """The whole file. `groups` is the claim that lists a person's."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    groups: str = "groups"
    person: Sequence[Entry] = Field(default=())

    def credential_of(self, claims: Mapping[str, Any], directory: Path) -> Credential:
        """Of the first that fits. Paths are from the file's directory. Raises Unknown and Unreadable."""
        for entry in self.person:
            if entry.fits(claims, self.groups):
                path = directory / entry.credential
                require_private(path)
                try:
                    return Credential.read(path)
                except (BadCredential, OSError) as error:
                    raise Unreadable(f"{path}: {error}") from None
        raise Unknown

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises Unreadable."""
        require_private(path)
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            places = (".".join(map(str, each["loc"])) + ": " + each["msg"] for each in error.errors())
            raise Unreadable(f"{path}: {'; '.join(places)}") from None
        except (OSError, ValueError) as error:
            raise Unreadable(f"{path}: {error}") from None


def require_private(path: Path) -> None:
    """Whoever may write it may be anybody in Sidegate; whoever may read it has the keys. Raises Unreadable."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise Unreadable(f"{path} has to be a file of its owner alone (chmod 600)")


def credential_for(path: Path, claims: Mapping[str, Any]) -> Credential:
    """Raises Unknown and Unreadable. The file is read now: who was taken out of it does not come in any more."""
    return People.read(path).credential_of(claims, path.parent)


def name_of(claims: Mapping[str, Any]) -> str:
    """What the provider calls the person, in one line; his subject where it calls him nothing."""
    for claim in ("name", "preferred_username", "email", "sub"):
        said = claims.get(claim)
        shown = "".join(each for each in said if unicodedata.category(each)[0] != "C") if isinstance(said, str) else ""
        if shown.strip():
            return shown.strip()[:LONGEST_NAME]
    return ""
