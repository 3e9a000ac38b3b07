"""Who is in which cell at this moment: gateways as the log has them, their sessions and leases from memory."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.endpoint.domain.gateway import Joined, Lost, Member


@dataclass(slots=True)
class _Session:
    """What a gateway holds since its last Join, with the moment (nanoseconds) at which it is void."""

    id: str
    ends_at: int


class Membership:
    """Gateways of every cell. A gateway that is Joined in the log has one lease to come back after a restart."""

    def __init__(self, lease: int, members: Iterable[Member], now: int) -> None:
        self._lease = lease
        self._members: dict[str, Member] = {}
        self._sessions: dict[str, _Session] = {}
        for member in members:
            self.become(member)
            self._sessions[member.id] = _Session("", now + lease)

    def become(self, member: Member) -> None:
        """Takes in what the log says of a gateway; one that is not Joined has no session."""
        self._members[member.id] = member
        if not isinstance(member, Joined):
            self._sessions.pop(member.id, None)

    def admit(self, gateway: str, session: str, now: int) -> None:
        """Opens a session, which makes an earlier one of the same gateway void."""
        self._sessions[gateway] = _Session(session, now + self._lease)

    def renew(self, gateway: str, session: str, now: int) -> bool:
        """Whether the session is the gateway's; then its lease begins anew."""
        held = self._sessions.get(gateway)
        if not session or held is None or held.id != session:
            return False
        held.ends_at = now + self._lease
        return True

    def holds(self, gateway: str, session: str) -> bool:
        """Whether the session is the gateway's; its lease stays as it is."""
        held = self._sessions.get(gateway)
        return bool(session) and held is not None and held.id == session

    def heard_at(self, gateway: str) -> int:
        """When its lease last began anew; 0 where it has not since a restart, or is lost."""
        held = self._sessions.get(gateway)
        return held.ends_at - self._lease if held is not None and held.id else 0

    def members(self) -> tuple[Joined | Lost, ...]:
        """Those that are joined or lost."""
        return tuple(member for member in self._members.values() if isinstance(member, Joined | Lost))

    def overdue(self, now: int) -> tuple[str, ...]:
        """Joined gateways whose lease ran out."""
        return tuple(
            id_
            for id_, member in self._members.items()
            if isinstance(member, Joined) and self._sessions[id_].ends_at <= now
        )

    def cells(self) -> frozenset[str]:
        return frozenset(member.cell for member in self._members.values())

    def gateways(self) -> dict[str, str]:
        """Those that are joined or lost, each with its cell."""
        return {id_: member.cell for id_, member in self._members.items() if isinstance(member, Joined | Lost)}

    def joined(self, cell: str) -> frozenset[str]:
        """Those that must forward an endpoint before it is Accepted."""
        return frozenset(
            id_ for id_, member in self._members.items() if isinstance(member, Joined) and member.cell == cell
        )

    def unfenced(self, cell: str, now: int) -> frozenset[str]:
        """Those that may still forward something: the joined, and the lost whose fence time is yet to come."""
        lost = (
            id_
            for id_, member in self._members.items()
            if isinstance(member, Lost) and member.cell == cell and member.fenced_at > now
        )
        return self.joined(cell) | frozenset(lost)
