"""Projects' programs on NATS: consumers for those that may read, and word to the server of those that may no more."""

import json
from collections.abc import Sequence
from typing import Protocol

import structlog

from services.common.clock import Clock, now
from services.common.identity.nats import rights
from services.common.identity.nats.accounts import Admission
from services.common.identity.nats.authority import Office
from services.common.identity.nats.claims import read
from services.common.messaging import subjects
from services.common.messaging.connection import REQUEST_TIMEOUT, Connection, Unsettled
from services.common.messaging.flows import FLOWS
from services.common.messaging.readers import Round, keep, live
from services.common.messaging.views import ENDPOINT_VIEWS, SERVICE_VIEWS
from services.registry.application.credentials import SECOND
from services.registry.domain.credential import Credential

VIEWS = (SERVICE_VIEWS, ENDPOINT_VIEWS)
REREAD = 60 * SECOND
"""Nanoseconds after which credentials are read anew though nobody has told of another: another program may write."""

MOST_REVOKED = 8_000
"""The server takes no longer list: of more the newest. An older one connects again, to nothing that it may read."""

logger = structlog.get_logger(__name__)


class Issued(Protocol):
    """All credentials there are."""

    async def all(self) -> Sequence[Credential]: ...


class Subscribers(Round):
    """Follows from the log alone, so whatever is killed or wiped, the next round does what is missing."""

    def __init__(self, credentials: Issued, office: Office, clock: Clock = now) -> None:
        super().__init__(self._serve)
        self._credentials, self._office, self._clock = credentials, office, clock
        self._known: Sequence[Credential] = ()
        self._read_at = 0

    def nudge(self) -> None:
        self._read_at = 0
        super().nudge()

    async def _serve(self, connection: Connection) -> bool:
        at = self._clock()
        lasting = [each for each in await self._all(at) if each.expires_at > at]
        streams = await live(connection, *VIEWS, FLOWS)
        epochs = {topic.prefix: stream.log.epoch for topic, stream in streams.items()}
        await self._admit(connection, Admission(_revoked(lasting), epochs))
        wanted = {
            rights.subscriber(each.id): subjects.of_project(each.owner.account, each.owner.project)
            for each in lasting
            if not each.revoked_at
        }
        for stream in streams.values():
            await keep(connection, stream, rights.SUBSCRIBER, wanted)
        return streams.keys() >= set(VIEWS) or not wanted  # what is told of flows may come later

    async def _all(self, at: int) -> Sequence[Credential]:
        if at - self._read_at > REREAD:
            self._read_at = at  # before it is read: whoever nudges meanwhile has it read again
            try:
                self._known = await self._credentials.all()
            except BaseException:
                self._read_at = 0
                raise
        return self._known

    async def _admit(self, connection: Connection, admission: Admission) -> None:
        """First of all who is revoked: the server ends his connections when it is told."""
        wanted, account = self._office.account(admission), self._office.keys.subscribers
        known = await _ask(connection, rights.LOOK_UP_CLAIMS.replace("*", account), b"")
        if read(known.decode())["nats"] == read(wanted)["nats"]:
            return
        answer = await _ask(connection, rights.UPDATE_CLAIMS, wanted.encode())
        if json.loads(answer).get("data", {}).get("code") != 200:
            raise Unsettled(f"NATS does not take what it is told of subscribers: {answer.decode()}")
        logger.info("told NATS of subscribers", revoked=len(admission.revoked), epochs=dict(admission.epochs))


async def _ask(connection: Connection, subject: str, data: bytes) -> bytes:
    async with connection.exchange():
        return (await connection.client.request(subject, data, timeout=REQUEST_TIMEOUT)).data


def _revoked(lasting: Sequence[Credential]) -> dict[str, int]:
    """The moment is rounded up: all that was ever signed for this key is from before."""
    revoked = sorted((each for each in lasting if each.revoked_at), key=lambda each: each.revoked_at)
    return {each.public_key: -(-each.revoked_at // SECOND) for each in revoked[-MOST_REVOKED:]}
