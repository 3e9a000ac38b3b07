"""Who asks: carried by every command into every event."""

from dataclasses import dataclass

OPERATOR = "operator"
SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Principal:
    """An account and one of its projects. `operator` owns the platform; `system` is one of our own programs."""

    account: str
    project: str

    @property
    def is_operator(self) -> bool:
        return self.account == OPERATOR

    @property
    def is_system(self) -> bool:
        return self.account == SYSTEM

    def __str__(self) -> str:
        return f"{self.account}/{self.project}"
