"""What comes with a command beside its content."""

from dataclasses import dataclass

from services.common.eventsourcing.store import RequestKey
from services.common.principal import Principal


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Who commands, when and by which request.

    `at_ns` is nanoseconds since the epoch; an empty `request_id` is not remembered; `expected_version` is the one
    that the caller has seen, None if that does not matter; `traceparent` (W3C) says what it is a step of. With
    `validate_only` all is checked and nothing is changed or remembered.
    """

    principal: Principal
    at_ns: int
    request_id: str = ""
    method: str = ""
    command_hash: bytes = b""
    expected_version: int | None = None
    traceparent: str = ""
    validate_only: bool = False

    @property
    def request_key(self) -> RequestKey | None:
        if not self.request_id or self.validate_only:
            return None
        return RequestKey(self.principal.account, self.principal.project, self.method, self.request_id)
