"""The services behind the API: one channel to each for all callers, and calls in the name of one."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from sidegate.access import Untold
from sidegate.api.endpoint.v1.endpoint_service_pb2_grpc import ConnectionsServiceStub, EndpointsServiceStub
from sidegate.api.events.v1.history_pb2_grpc import HistoryServiceStub
from sidegate.api.events.v1.log_pb2_grpc import AuditServiceStub
from sidegate.api.registry.v1.account_service_pb2_grpc import TokenServiceStub
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.channels import channel_to
from sidegate.project_ids import project_id
from sidegate.transport import PQ, Caller, Metadata, P, Q, R, W

PARTS = uuid.UUID("6b1c1a5e-7b1e-4b52-9a5c-0a8f8c1d2e3f")
"""The name space of requests that are a part of another."""


class Upstream:
    """The registry and the endpoint service, at "host:port". Their stubs cost too much to be made for each request."""

    def __init__(self, registry: str, endpoint: str, credentials: grpc.ChannelCredentials) -> None:
        self.addresses = {"registry": registry, "endpoint": endpoint}
        self.channels = {name: channel_to(address, credentials) for name, address in self.addresses.items()}
        self.registry: RegistryServiceStub = RegistryServiceStub(self.channels["registry"])
        self.tokens: TokenServiceStub = TokenServiceStub(self.channels["registry"])
        self.endpoints: EndpointsServiceStub = EndpointsServiceStub(self.channels["endpoint"])
        self.connections: ConnectionsServiceStub = ConnectionsServiceStub(self.channels["endpoint"])
        self.audits = {name: AuditServiceStub(channel) for name, channel in self.channels.items()}
        self.pasts = {name: HistoryServiceStub(channel) for name, channel in self.channels.items()}

    def speaking(self, token: str) -> Caller:
        """Calls in the name of whom the token is for; of nobody, where it is empty."""
        return Caller("the services behind the API", Bearer(token), channel=self.channels["registry"])

    async def close(self) -> None:
        for channel in self.channels.values():
            await channel.close()


class Bearer(Untold):
    """A token that has been had."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._metadata: Metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def metadata(self) -> Metadata:
        return self._metadata


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller says of a change beside the change, in headers that only Sidegate knows."""

    request_id: str = ""
    etag: str = ""
    validate_only: bool = False


@dataclass(slots=True)
class Seen:
    """What the services answered last that has an etag."""

    etag: str = ""

    def note(self, answer: object) -> None:
        self.etag = str(getattr(answer, "etag", "")) or self.etag


@dataclass(frozen=True, slots=True)
class Acting:
    """Whoever makes the request that is being served. What it may do, the services decide from its token."""

    account: str
    project: str
    access_key: str
    token: str = field(repr=False)
    upstream: Upstream = field(repr=False)
    wish: Wish = Wish()
    seen: Seen = field(default_factory=Seen, repr=False, compare=False)

    @property
    def project_id(self) -> str:
        """The id of its project in paths and answers."""
        return project_id(self.account, self.project)

    async def ask(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        """One call of a method of `upstream`'s. Raises SidegateError."""
        answer = await self.upstream.speaking(self.token).ask(method, request)
        self.seen.note(answer)
        return answer

    async def write(self, method: grpc.aio.UnaryUnaryMultiCallable[W, R], request: W) -> R:
        """The same for what changes something, as the caller wishes it."""
        self._put_wish(request)
        answer = await self.upstream.speaking(self.token).write(method, request)
        self.seen.note(answer)
        return answer

    def part(self, place: int) -> str:
        """A request id for one of several changes that a request asks for; empty where the caller gave none."""
        return str(uuid.uuid5(PARTS, f"{self.wish.request_id}/{place}")) if self.wish.request_id else ""

    def _put_wish(self, request: Any) -> None:  # noqa: ANN401 # any request that has a request_id
        wish, fields = self.wish, request.DESCRIPTOR.fields_by_name
        request.request_id = request.request_id or wish.request_id
        if wish.validate_only:
            request.validate_only = True
        if not wish.etag:
            return
        if "etag" in fields:
            request.etag = wish.etag
        for resource in ("endpoint_service", "endpoint"):
            if resource in fields:
                getattr(request, resource).etag = wish.etag

    def pages(self, method: grpc.aio.UnaryUnaryMultiCallable[PQ, P], request: PQ) -> AsyncIterator[P]:
        return self.upstream.speaking(self.token).pages(method, request)

    def stream(self, method: grpc.aio.UnaryStreamMultiCallable[Q, R], request: Q) -> AsyncGenerator[R, None]:
        return self.upstream.speaking(self.token).stream(method, request)
