"""What a command can be refused with: one tree, pure; `rpc/errors.py` turns it into gRPC status by one table.

Refused
├── Invalid            a field is malformed or out of its limits
├── NotFound           not there, or not for the caller: the two look the same
├── AlreadyExists      a name, address or target is taken
├── WrongState         right command, wrong moment; may name blockers
├── QuotaReached       a limit of the project's
├── Outdated           the etag given is not the resource's any more
├── Forbidden          the caller's account may not do this at all
├── Unauthenticated    nobody said who asks
├── Unavailable        something needed is away: try again
└── OutOfRange         a position that is not there
"""

from collections.abc import Mapping, Sequence


class Refused(Exception):
    """A command that was refused, with nothing changed.

    `reason` is a constant in UPPER_SNAKE_CASE for programs, the text is for people and names the way out.
    """

    def __init__(
        self,
        reason: str,
        text: str,
        *,
        field: str = "",
        metadata: Mapping[str, str] | None = None,
        blockers: Sequence[str] = (),
    ) -> None:
        super().__init__(text)
        self.reason, self.text, self.field = reason, text, field
        self.metadata = dict(metadata or {})
        self.blockers = tuple(blockers)


class Invalid(Refused):
    """`field` is the path of the field at fault, as in the proto."""


class NotFound(Refused):
    """Raised for what is not there and for what is another's, in the same words."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(
            "NOT_FOUND", f"{kind.replace('_', ' ')} {id_} is not there", metadata={"kind": kind, "id": id_}
        )


class AlreadyExists(Refused):
    pass


class WrongState(Refused):
    pass


class QuotaReached(Refused):
    pass


class Outdated(Refused):
    pass


class Forbidden(Refused):
    pass


class Unauthenticated(Refused):
    pass


class Unavailable(Refused):
    pass


class OutOfRange(Refused):
    pass
