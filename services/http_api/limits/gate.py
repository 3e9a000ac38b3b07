"""Who has taken how much: counted by address before anything is believed, by access key once it is proved."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import Counter as Number

from services.common.identity.attempts import Buckets
from services.common.telemetry.metrics import REGISTRY
from services.http_api.error_codes import AWAY, CODES, THROTTLED, Code
from services.http_api.errors import Refused
from services.http_api.limits.values import Limits

LIMITED = Number("sidegate_http_limited", "Requests and connections that met a limit.", ["limit"], registry=REGISTRY)

TOO_LARGE = Code("EndPoint.0002", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, CODES["0002"].text)
TOO_SLOW = Code("EndPoint.0013", HTTPStatus.REQUEST_TIMEOUT, CODES["0013"].text)

BURST = 2
MOST_REFUSED = 10_000


def met(limit: str, code: Code, text: str) -> Refused:
    """The refusal of what met a limit, counted."""
    LIMITED.labels(limit).inc()
    return Refused(code, text, {"Retry-After": "1"} if code in (THROTTLED, AWAY) else {})


class Gate:
    """Raises Refused for whoever has had his share. A flood meets its own limits before it meets those of all."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self._clock = limits, clock
        self._addresses = _buckets(limits.rate_of_address, clock)
        self._keys = _buckets(limits.rate_of_key, clock)
        self._in_flight, self._of_address, self._of_key = 0, Counter[str](), Counter[str]()
        self._streams = Counter[str]()
        self._refused: dict[tuple[str, str], float] = {}
        self.ending = asyncio.Event()
        """Set when the program stops: streams, which have no end of their own, end then."""

    def knock(self, address: str, claimed: str) -> None:
        """A request before it is known whose. `claimed` is the key that it names: believed only to its own harm, where
        that key has just been refused for its rate from the same address.
        """
        if not self._addresses.take(address):
            raise met("address_rate", THROTTLED, "Too many requests come from this address.")
        if self._refused.get((address, claimed), 0.0) > self._clock():
            raise met("key_rate", THROTTLED, "This access key makes too many requests.")

    @contextmanager
    def flight(self, address: str) -> Iterator[None]:
        """One request of all that are in flight."""
        if self._of_address[address] >= self.limits.in_flight_of_address:
            raise met("address_in_flight", THROTTLED, "Too many requests of this address are being answered.")
        if self._in_flight >= self.limits.in_flight:
            raise met("in_flight", AWAY, "Too many requests are being answered.")
        self._in_flight += 1
        with _counted(self._of_address, address):
            try:
                yield
            finally:
                self._in_flight -= 1

    @contextmanager
    def turn(self, key: str, address: str) -> Iterator[None]:
        """One request of an access key that has been proved."""
        if not self._keys.take(key):
            self._remember(address, key)
            raise met("key_rate", THROTTLED, "This access key makes too many requests.")
        if self._of_key[key] >= self.limits.in_flight_of_key:
            raise met("key_in_flight", THROTTLED, "Too many requests of this access key are being answered.")
        with _counted(self._of_key, key):
            yield

    @contextmanager
    def stream(self, project: str) -> Iterator[None]:
        """One event stream of a project."""
        if self._streams[project] >= self.limits.streams_of_project:
            text = f"This project has {self.limits.streams_of_project} event streams, as many as it may."
            raise met("streams", THROTTLED, text)
        with _counted(self._streams, project):
            yield

    def _remember(self, address: str, key: str) -> None:
        """Its next requests are refused unseen, until the key may make one again."""
        now = self._clock()
        if len(self._refused) >= MOST_REFUSED:
            self._refused = {each: until for each, until in self._refused.items() if until > now}
        if len(self._refused) < MOST_REFUSED:
            self._refused[address, key] = now + max(0.05, 1 / self.limits.rate_of_key)


def _buckets(rate: float, clock: Callable[[], float]) -> Buckets:
    return Buckets(max(1, round(BURST * rate)), 1 / rate, clock)


@contextmanager
def _counted(counter: Counter[str], whose: str) -> Iterator[None]:
    counter[whose] += 1
    try:
        yield
    finally:
        counter[whose] -= 1
        if not counter[whose]:
            del counter[whose]
