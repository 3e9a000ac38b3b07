"""What a list shows of the resources that there are, and from which end it begins."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selection:
    """Those in one of these states (any, where there is none), with this in their name, whatever the case."""

    states: tuple[str, ...] = ()
    name_contains: str = ""
    newest_first: bool = False


ALL = Selection()
