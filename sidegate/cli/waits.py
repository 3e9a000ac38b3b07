"""`--wait`: until an endpoint or a connection is what the command asked for, or will not be."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from sidegate import conditions, errors, waiting
from sidegate.api.endpoint.v1 import endpoint_pb2
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, Endpoint
from sidegate.cli import tables, words
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.view import View

# The states from which the wanted one can still come by itself or by the other side.
ON_THE_WAY: Mapping[int, tuple[int, ...]] = {
    endpoint_pb2.CONNECTION_STATE_ACCEPTED: (
        endpoint_pb2.CONNECTION_STATE_PENDING_ACCEPTANCE,
        endpoint_pb2.CONNECTION_STATE_CREATING,
    ),
    endpoint_pb2.CONNECTION_STATE_REJECTED: (),
    endpoint_pb2.CONNECTION_STATE_DELETED: (endpoint_pb2.CONNECTION_STATE_DELETING,),
}

WAYS_OUT = {
    "pendingAcceptance": "the service's owner decides: sidegate connection accept SERVICE ENDPOINT",
    "creating": "`sidegate endpoint get` shows under ready what hinders",
    "deleting": "a gateway has not reported yet: sidegate gateway status",
}

S = TypeVar("S", Endpoint, Connection)


async def settle(session: Session, first: S, get: Callable[[], Awaitable[S]], wanted: int, within: float) -> View:
    """Asks until the state is no longer on its way to the wanted one; the exit code says whether it is there."""
    if conditions.current().validate_only:
        raise Complaint("--dry-run changes nothing to wait for", Exit.USAGE, "leave out --wait")
    latest = first

    async def look() -> S:
        nonlocal latest
        latest = await get()
        session.tell(f"waiting: {words.field(latest, 'state')} ...")
        return latest

    try:
        await waiting.until(look, lambda seen: seen.state not in ON_THE_WAY[wanted], within)
    except errors.TimedOut as error:
        if error.reason != waiting.IN_VAIN:
            raise
        state, id = words.field(latest, "state"), latest.id if isinstance(latest, Endpoint) else latest.endpoint_id
        until = words.field(latest, "drain_end_time")
        way_out = f"its sessions drain until {until}: see --timeout" if until else WAYS_OUT.get(state, "")
        raise Complaint(f"endpoint {id} is still {state} after {within:g} s", Exit.UNAVAILABLE, way_out) from error
    return tables.resource(latest, Exit.OK if latest.state == wanted else Exit.NO)
