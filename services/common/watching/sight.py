"""What somebody may see of an event, and what somebody wishes to see. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.common.eventsourcing.store import RecordedEvent
from services.common.principal import Principal

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)

OPERATORS = "operator"
"""The audience of operators; no project's name is without a '/'."""


@dataclass(frozen=True, slots=True)
class Sight(Generic[C_co]):
    """A change, and who may see it: projects by "account/project", or OPERATORS.

    `parent` is what the resource is a part of, such as its service.
    """

    audience: frozenset[str]
    kind: str
    id: str
    change: C_co
    parent: str = ""


SightsOf = Callable[[RecordedEvent], Sequence[Sight[C]]]
"""What there is to see of an event; nothing of one that is nobody's."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wished for of all that may be seen; what is empty does not matter.

    `stream`, where it is known, is the one of the log that has everything that fits: no other is read for what was.
    """

    kinds: frozenset[str] = frozenset()
    id: str = ""
    parent: str = ""
    stream: str = ""

    def fits(self, sight: Sight[object]) -> bool:
        if self.kinds and sight.kind not in self.kinds:
            return False
        return self.id in ("", sight.id) and self.parent in ("", sight.parent)


def audiences_of(caller: Principal) -> frozenset[str]:
    """Where the caller belongs to."""
    own = frozenset({str(caller)})
    return own | {OPERATORS} if caller.is_operator else own


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches what. `account` is whose share of watchers it takes."""

    account: str
    audiences: frozenset[str]
    wish: Wish = Wish()

    def chosen(self, sights: Sequence[Sight[C]]) -> list[C]:
        """The changes that it is told of, in order."""
        mine = self.audiences
        return [sight.change for sight in sights if not mine.isdisjoint(sight.audience) and self.wish.fits(sight)]
