"""A session: whose it is, the client that speaks for him, and what is kept of it between two pages."""

import hmac
import secrets
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from sidegate.api.registry.v1.account_pb2 import ROLE_OPERATOR, ROLE_VIEWER
from sidegate.api.registry.v1.account_service_pb2 import Identity
from sidegate.client import Client

MOST_NOTICES = 10
MOST_ACTED = 5


class Tone(StrEnum):
    """Bootstrap's words for how a notice is meant."""

    DONE = "success"
    WARNING = "warning"
    FAILED = "danger"


@dataclass(frozen=True, slots=True)
class Notice:
    """What the next page says of what was done."""

    text: str
    tone: Tone


@dataclass(eq=False)
class Session:
    """`began` and `seen` are of a monotonic clock, in seconds. `own` speaks as the key itself. `person` is whom an
    OpenID provider has named, if the key is used for him. `secret` is what its pages alone are told. `streams` are
    those that pages have open; rooms put into `kept` what they would rather not make again. `over` says that its key
    lets nobody in any more.
    """

    identity: Identity
    access_key: str
    own: Client = field(repr=False)
    began: float
    seen: float
    person: str = ""
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    acting: Client | None = field(default=None, repr=False)
    acting_as: tuple[str, str] | None = None
    acted: dict[tuple[str, str], Client] = field(default_factory=dict, repr=False)
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=MOST_NOTICES))
    streams: int = 0
    over: bool = False
    kept: dict[str, object] = field(default_factory=dict, repr=False)

    @property
    def client(self) -> Client:
        """Speaks for whom the session acts: itself, or, of the operator's, the account that was chosen."""
        return self.acting or self.own

    @property
    def account(self) -> str:
        return self.acting_as[0] if self.acting_as else self.identity.account

    @property
    def project(self) -> str:
        return self.acting_as[1] if self.acting_as else self.identity.project

    @property
    def owner(self) -> str:
        """Whose pages are, as the header names it."""
        return f"{self.account}/{self.project}"

    @property
    def csrf(self) -> str:
        """What forms carry. It names whose page they are on: the session may act for another when they are sent."""
        return f"{self.secret}.{self.owner}"

    def given_for(self, token: str) -> str | None:
        """Whose page a form with this token is on; None for what no page of this session carries."""
        secret, _dot, owner = token.partition(".")
        return owner if hmac.compare_digest(secret.encode(), self.secret.encode()) else None

    @property
    def is_operator(self) -> bool:
        return self.identity.role == ROLE_OPERATOR

    @property
    def is_tenant(self) -> bool:
        """Whether pages are of one project: the operator's are of all, until it acts for one."""
        return not self.is_operator or self.acting_as is not None

    @property
    def reads_only(self) -> bool:
        """Only to leave out buttons that the services would refuse."""
        return self.identity.role == ROLE_VIEWER

    @property
    def who(self) -> dict[str, str]:
        """As logs name who asked."""
        person = {"person": self.person} if self.person else {}
        return {"access_key": self.access_key, "account": self.account, "project": self.project, **person}

    def say(self, text: str, tone: Tone = Tone.DONE) -> None:
        self.notices.append(Notice(text, tone))

    def said(self) -> list[Notice]:
        """The notices, once."""
        said = list(self.notices)
        self.notices.clear()
        return said

    async def act_for(self, account: str, project: str) -> None:
        """From now on pages are of this project, or, without an account, the operator's own. Raises SidegateError.

        Clients of the last few stay open: pages of before are still being answered, and often their reader comes back.
        """
        self.acting, self.acting_as = None, None
        if account:
            who = (account, project)
            self.acting = self.acted.pop(who, None) or self.own.acting_for(account, project)
            self.acted[who], self.acting_as = self.acting, who
        for oldest in list(self.acted)[:-MOST_ACTED]:
            await self.acted.pop(oldest).close()

    def end(self) -> None:
        """Nobody finds it any more; its connections are closed when it is looked for, or within seconds."""
        self.over = True

    async def close(self) -> None:
        self.acting, self.acting_as = None, None
        for client in (*self.acted.values(), self.own):
            await client.close()
        self.acted.clear()
