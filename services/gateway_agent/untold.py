"""What of traffic the control plane has yet to be told, so that it can add it up exactly. Pure."""

from collections.abc import Mapping

from services.gateway_agent.traffic import Traffic

NOTHING = Traffic()
Told = tuple[str, Traffic]
"""An endpoint, and what it has passed since it was put into the table."""


class Untold:
    """Of an endpoint that is taken out, what it had passed comes first, then nothing, then what it has passed since it
    was put in again.
    """

    def __init__(self) -> None:
        self._said: Mapping[str, Traffic] = {}
        self._parted: list[tuple[str, Traffic | None]] = []
        self._meanwhile: set[str] = set()
        self._missed: frozenset[str] = frozenset()

    def part(self, endpoint: str, passed: Traffic | None) -> None:
        """It was taken out, and this is what it had passed, as far as that is known."""
        self._parted.append((endpoint, passed))
        self._meanwhile.add(endpoint)

    def begin(self) -> None:
        """What endpoints have passed is about to be read."""
        self._meanwhile = set()

    def forget(self) -> None:
        """Nothing was told yet."""
        self._said, self._parted, self._missed = {}, [], frozenset()

    def news(self, read: Mapping[str, Traffic]) -> list[Told]:
        """What is to be told, in order. Of those that were taken out while it was read, it is told the next time."""
        said, told = dict(self._said), list[Told]()
        for endpoint, passed in self._parted:
            if endpoint not in self._meanwhile:
                told += [(endpoint, each) for each in (passed, NOTHING) if each is not None]
                said.pop(endpoint, None)
        self._parted = [each for each in self._parted if each[0] in self._meanwhile]
        for endpoint, passed in read.items():
            if endpoint not in self._meanwhile and passed != said.get(endpoint, NOTHING):
                told.append((endpoint, passed))
                said[endpoint] = passed
        told += self._lost(said, read)
        self._said = said
        return told

    def _lost(self, said: dict[str, Traffic], read: Mapping[str, Traffic]) -> list[Told]:
        """Those that are missing, though nobody has said so: they may just have been taken out, until the next time."""
        missing = {id_ for id_ in said if id_ not in read and id_ not in self._meanwhile}
        lost, self._missed = missing & self._missed, frozenset(missing - self._missed)
        for endpoint in lost:
            del said[endpoint]
        return [(endpoint, NOTHING) for endpoint in sorted(lost)]
