"""Telling projects of their sessions: whose a session is, only the control plane can say."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from services.common.errors import Unavailable
from services.common.messaging import subjects
from services.common.messaging.connection import Unsettled
from services.endpoint.application.streams import Streams
from services.endpoint.domain.endpoint import Absent
from services.endpoint.domain.facts import Facts
from services.endpoint.wire.stored import endpoint_stream
from sidegate.api.gateway.v1.flow_pb2 import Flow

REMEMBERED = 50_000
Publish = Callable[[Sequence[tuple[str, bytes]]], Awaitable[None]]


class Flows:
    """Passes flow records on to the projects of their endpoints' owners, and to nobody else.

    A gateway is believed what passed. Whose it was, and in which VPC, is taken from the log; what it says of endpoints
    that its cell does not have is dropped. The service's owner hears nothing: clients' addresses are the consumer's.
    """

    def __init__(self, streams: Streams, publish: Publish) -> None:
        self._streams, self._publish = streams, publish
        self._known: OrderedDict[str, Facts] = OrderedDict()

    async def tell(self, gateway: str, cell: str, flows: Sequence[Flow]) -> int:
        """How many were told on. Raises Unavailable."""
        told = []
        for flow in flows:
            facts = await self._facts(flow.endpoint_id)
            if facts is None or facts.placement.cell != cell:
                continue
            owner = facts.owner
            subject = subjects.view(owner.account, owner.project, "flow", flow.endpoint_id)
            told.append((subject, _owned(flow, facts, gateway).SerializeToString(deterministic=True)))
        if told:
            try:
                await self._publish(told)
            except Unsettled as error:
                raise Unavailable("NATS_AWAY", f"flow records cannot be told: {error}") from error
        return len(told)

    async def _facts(self, endpoint: str) -> Facts | None:
        """What of an endpoint never changes may be remembered; that there is none may not."""
        if (known := self._known.get(endpoint)) is not None:
            self._known.move_to_end(endpoint)
            return known
        state, _ = await self._streams.endpoints.load(endpoint_stream(endpoint))
        if isinstance(state, Absent):
            return None
        self._known[endpoint] = state.facts
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return state.facts


def _owned(flow: Flow, facts: Facts, gateway: str) -> Flow:
    """The record with all that the log knows better."""
    owned = Flow()
    owned.CopyFrom(flow)
    owned.account, owned.project = facts.owner.account, facts.owner.project
    owned.marker_id, owned.service_id, owned.vpc_id = facts.marker, facts.service, facts.vpc
    owned.address, owned.gateway_id = str(facts.address), gateway
    return owned
