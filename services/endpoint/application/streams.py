"""The streams of this service, and who commands when our own programs do."""

from services.common.eventsourcing.aggregate import Aggregate
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import EventStore
from services.common.principal import SYSTEM, Principal
from services.common.rpc.records import event_meta
from services.endpoint.domain import endpoint, endpoint_commands, endpoint_decisions, forwarding, gateway, resolvers
from services.endpoint.wire.endpoint import EndpointCodec
from services.endpoint.wire.forwarding import AttachmentCodec, ServiceCodec
from services.endpoint.wire.gateway import GatewayCodec
from services.endpoint.wire.resolvers import ResolverCodec
from sidegate import tracing

OURSELVES = Principal(SYSTEM, "endpoint")


class Streams:
    """One aggregate for each kind of streams."""

    def __init__(self, store: EventStore) -> None:
        self.endpoints: Aggregate[endpoint_commands.Command, endpoint.State, endpoint.Event] = Aggregate(
            store, endpoint_decisions.ENDPOINT, EndpointCodec(), event_meta
        )
        self.gateways: Aggregate[gateway.Command, gateway.State, gateway.Event] = Aggregate(
            store, gateway.GATEWAY, GatewayCodec(), event_meta
        )
        self.services: Aggregate[
            forwarding.ServiceCommand, forwarding.ServiceState, forwarding.ServiceForwardingChanged
        ] = Aggregate(store, forwarding.SERVICE, ServiceCodec(), event_meta)
        self.attachments: Aggregate[forwarding.ReachVpc, forwarding.AttachmentState, forwarding.AttachmentChanged] = (
            Aggregate(store, forwarding.ATTACHMENT, AttachmentCodec(), event_meta)
        )
        self.resolvers: Aggregate[resolvers.Resolve, resolvers.State, resolvers.ResolverChanged] = Aggregate(
            store, resolvers.RESOLVER, ResolverCodec(), event_meta
        )


def on_our_own(method: str, at: int, expected_version: int | None = None) -> CommandContext:
    """The context of a command that a policy gives. `method` names the policy in the audit log."""
    traceparent = tracing.current()
    return CommandContext(OURSELVES, at, method=method, expected_version=expected_version, traceparent=traceparent)


def no_answer(_state: object, _version: int) -> bytes:
    """What a policy's command is answered with."""
    return b""
