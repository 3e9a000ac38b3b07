"""Which trace the newest news of an entry are of: what made this gateway change what it forwards."""

from collections import OrderedDict
from collections.abc import Iterable

from services.gateway_agent.table import Key

REMEMBERED = 10_000


class Traces:
    """Traceparents by key, the newest ones only: a trace that is forgotten costs a line its id, and nothing else."""

    def __init__(self) -> None:
        self._of: OrderedDict[Key, str] = OrderedDict()

    def hear(self, key: Key, traceparent: str) -> None:
        """The newest news of the key are of this trace; of none where it is empty."""
        self._of.pop(key, None)
        if traceparent:
            self._of[key] = traceparent
        if len(self._of) > REMEMBERED:
            self._of.popitem(last=False)

    def of(self, key: Key) -> str:
        """The traceparent; empty for what nobody traced."""
        return self._of.get(key, "")

    def among(self, keys: Iterable[Key]) -> list[str]:
        """The different traceparents of the keys."""
        return list(dict.fromkeys(found for key in keys if (found := self._of.get(key))))
