"""All that somebody can read with an access key of his own, of what he may know and of what he may not: as text.

reader = await Reader.of(sidegate, operator, "eve", "default")
said = await reader.everything(Targets(...))
...                                 # {"gRPC GetVpc": "NotFound: vpc 5a1c... is not there", ...}
"""

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import grpc
import nats
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString

from sidegate import errors
from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening
from sidegate.api.events.v1.view_pb2 import View
from sidegate.api.registry.v1.account_pb2 import Role
from sidegate.client import Client
from sidegate.credentials import Credential
from sidegate.nkeys import UserCredential
from sidegate.resources.logs import LogName
from sidegate.watching import Watch
from tests.support.signed import Key, signed
from tests.support.standalone import Standalone, until

STREAMS = ("VIEW-REG", "VIEW-EP")
AT_MOST = 1000
ENOUGH_SECONDS = 0.3
REFUSED = re.compile(r"[A-Za-z]+: |[45]\d\d \{")


@dataclass(frozen=True)
class Targets:
    """What is asked about. `vpc`, `subnet` and `port` may be another's; so may the service or the endpoint."""

    service: str
    full_name: str
    endpoint: str
    vpc: str
    subnet: str
    port: str
    source: str

    @property
    def ids(self) -> Sequence[str]:
        return (self.service, self.full_name, self.endpoint, self.vpc, self.subnet, self.port)


@dataclass
class Reader:
    """Speaks for one project with a key of that project's own, as nobody does who acts for it."""

    sidegate: Standalone
    client: Client
    key: Key
    _stack: AsyncExitStack

    @classmethod
    async def of(cls, sidegate: Standalone, operator: Client, account: str, project: str) -> Self:
        with contextlib.suppress(errors.AlreadyExists):
            await operator.accounts.create(account)
        if project not in (await operator.accounts.get(account)).projects:
            await operator.accounts.create_project(account, project)
        made = await operator.accounts.create_key(account, project, Role.ROLE_ADMIN)
        stack, ready = AsyncExitStack(), sidegate.ready
        credential = Credential(account, project, made.key.id, made.secret_key)
        own = Client(ready["registry"]["grpc"], ready["endpoint"]["grpc"], credential=credential, ca=sidegate.ca)
        key = Key(made.key.id, made.secret_key, account, project)
        return cls(sidegate, await stack.enter_async_context(own), key, stack)

    async def close(self) -> None:
        await self._stack.aclose()

    async def everything(self, about: Targets) -> dict[str, str]:
        """What was answered, or refused, by what was asked."""
        said = {f"gRPC {name}": answer for name, answer in (await self.answers(about)).items()}
        said |= {f"gRPC {name}": await _told(ask) for name, ask in self._counts(about).items()}
        said |= {f"gRPC {name}": await _told(partial(_all, ask)) for name, ask in self._lists(about).items()}
        said |= {f"gRPC {name}": await _told(partial(_so_far, ask)) for name, ask in self._watches().items()}
        said |= await self._over_https(about)
        said |= await self._views()
        return said

    async def answers(self, about: Targets) -> dict[str, str]:
        """Those to single questions alone."""
        return {name: await _told(ask) for name, ask in self._calls(about).items()}

    def _calls(self, about: Targets) -> Mapping[str, Callable[[], Awaitable[Message | None]]]:
        own, service, endpoint = self.client, about.service, about.endpoint

        async def trace(port: int) -> Message:
            return await own.traces.endpoint(endpoint, Opening(source=about.source, port=port))

        return {
            "TraceEndpoint :80": lambda: trace(80),
            "TraceEndpoint :81": lambda: trace(81),
            "GetVpc": lambda: own.vpcs.get(about.vpc),
            "UpdateVpc": lambda: own.vpcs.update(about.vpc, description="mine"),
            "DeleteVpc": lambda: own.vpcs.delete(about.vpc),
            "GetSubnet": lambda: own.subnets.get(about.subnet),
            "CreateSubnet": lambda: own.subnets.create("mine", about.vpc, "10.0.0.0/28"),
            "GetPort": lambda: own.ports.get(about.port),
            "CreatePort": lambda: own.ports.create(about.subnet, "machine/mine"),
            "GetEndpointService": lambda: own.services.get(service),
            "UpdateEndpointService": lambda: own.services.update(service, description="mine"),
            "DeleteEndpointService": lambda: own.services.delete(service),
            "AddPermissions": lambda: own.services.permit(service, ["*"]),
            "Lookup by id": lambda: own.services.lookup(service),
            "Lookup by name": lambda: own.services.lookup(about.full_name),
            "GetEndpoint": lambda: own.endpoints.get(endpoint),
            "TestEndpoint": lambda: own.endpoints.test(endpoint),
            "CreateEndpoint": lambda: own.endpoints.create(service, about.subnet),
            "GetConnection": lambda: own.connections.get(service, endpoint),
            "TestConnection": lambda: own.connections.test(service, endpoint),
            "GetServiceHealth": lambda: own.connections.health(service),
            "NoteConnection": lambda: own.connections.note(service, endpoint, ""),
            "WhoAmI": own.accounts.who_am_i,
            "GetHead": own.audit.log(LogName.ENDPOINT).head,
        }

    def _counts(self, about: Targets) -> Mapping[str, Callable[[], Awaitable[Message]]]:
        """What is another answer with each packet."""
        own, service, endpoint = self.client, about.service, about.endpoint
        return {
            "GetEndpointTraffic": lambda: own.endpoints.traffic(endpoint),
            "GetServiceTraffic": lambda: own.connections.traffic(service),
            "GetServiceTraffic of a connection": lambda: own.connections.traffic(service, endpoint),
        }

    def _lists(self, about: Targets) -> Mapping[str, Callable[[], AsyncIterator[Message]]]:
        own = self.client
        return {
            "ListVpcs": own.vpcs.list,
            "ListSubnets": own.subnets.list,
            "ListSubnets of a VPC": lambda: own.subnets.list(about.vpc),
            "ListPorts": own.ports.list,
            "ListPorts of a subnet": lambda: own.ports.list(about.subnet),
            "ListAttachments": lambda: own.attachments.list(about.vpc),
            "ListEndpointServices": own.services.list,
            "ListEndpoints": own.endpoints.list,
            "ListEndpoints of a service": lambda: own.endpoints.list(service_id=about.service),
            "ListEndpoints of a VPC": lambda: own.endpoints.list(vpc_id=about.vpc),
            "ListConnections": lambda: own.connections.list(about.service),
            "ListAccounts": own.accounts.list,
            "ListTraffic": own.traffic.list,
            "ListGateways": own.gateways.list,
        }

    def _watches(self) -> Mapping[str, Callable[[], Watch[Any]]]:
        own = self.client
        return {
            "Watch services": lambda: own.services.watch(after=0),
            "Watch VPCs": lambda: own.vpcs.watch(after=0),
            "WatchEndpoints": lambda: own.endpoints.watch(after=0),
            "WatchConnections": lambda: own.connections.watch(after=0),
        }

    async def _over_https(self, about: Targets) -> dict[str, str]:
        project = f"/v1/{self.key.project_id}"
        own = f"/sidegate{project}"
        services, endpoints = f"{project}/vpc-endpoint-services", f"{project}/vpc-endpoints"
        paths = [
            services,
            f"{services}/public",
            f"{services}/describe?id={about.service}",
            f"{services}/describe?endpoint_service_name={about.full_name}",
            f"{services}/{about.service}",
            f"{services}/{about.service}/connections",
            f"{services}/{about.service}/permissions",
            endpoints,
            f"{endpoints}/{about.endpoint}",
            f"{project}/quotas",
            f"{own}/endpoints/{about.endpoint}/traffic",
            f"{own}/services/{about.service}/traffic",
            f"{own}/services/{about.service}/traffic?endpoint_id={about.endpoint}",
            f"{project}/vpcs/{about.vpc}",
            f"{project}/subnets/{about.subnet}",
            f"{project}/ports/{about.port}",
        ]
        said = {}
        async with signed(self.sidegate, self.key) as http:
            for path in paths:
                answer = await http.get(path)
                said[f"HTTPS {path}"] = f"{answer.status_code} {dict(answer.headers)} {answer.text}"
        return said

    async def _views(self) -> dict[str, str]:
        """What a subscriber hears, from the beginning; and that no other stream or subject is his."""
        _, credential = await self.client.credentials.create_events()
        heard: list[str] = []
        refused: list[str] = []
        client = await _connected(f"nats://{self.sidegate.ready['nats']['address']}", credential, refused)
        try:
            jetstream = client.jetstream(timeout=2)
            for stream in STREAMS:
                await until(f"a consumer of {stream}", partial(_begun, jetstream, stream, credential.name))
                subscription = await jetstream.pull_subscribe_bind(credential.name, stream)
                heard += [
                    f"{each.subject} {MessageToString(View.FromString(each.data))}"
                    for each in await _fetched(subscription)
                ]
            everything = await client.subscribe(">")
            await client.flush()
            assert await _next(everything) is None
        finally:
            await client.close()
        return {"NATS views": "\n".join(heard), "NATS refusals": "\n".join(refused)}


async def _begun(jetstream: Any, stream: str, consumer: str) -> bool:
    """Whether the consumer, which is made a moment after its credential, is there and reads from the beginning."""
    try:
        await jetstream.reset_consumer(stream, consumer, 1)
    except (nats.errors.Error, TimeoutError):
        return False
    return True


async def _fetched(subscription: Any) -> Sequence[Any]:
    try:
        return list(await subscription.fetch(AT_MOST, timeout=ENOUGH_SECONDS))
    except TimeoutError:
        return []


async def _next(subscription: Any) -> Any:
    try:
        return await subscription.next_msg(timeout=ENOUGH_SECONDS)
    except (TimeoutError, nats.errors.Error):
        return None


async def _connected(url: str, credential: UserCredential, refused: list[str]) -> Any:
    async def say(error: Exception) -> None:
        refused.append(str(error))

    def sign(nonce: str) -> bytes:
        return base64.b64encode(credential.key.sign(nonce.encode()))

    return await nats.connect(
        url,
        user_jwt_cb=credential.jwt.encode,
        signature_cb=sign,
        inbox_prefix=f"_INBOX_{credential.name}",
        error_cb=say,
    )


async def _so_far(watching: Callable[[], Watch[Any]]) -> Sequence[Message]:
    """What has happened until nothing more is told for a moment."""
    heard: list[Message] = []
    async with watching() as watch:
        with contextlib.suppress(TimeoutError):
            while True:
                heard.append(await asyncio.wait_for(anext(watch), ENOUGH_SECONDS))
    return heard


async def _all(listed: Callable[[], AsyncIterator[Message]]) -> Sequence[Message]:
    return [each async for each in listed()]


async def _told(ask: Callable[[], Awaitable[Any]]) -> str:
    """The answer, or all that is said with a refusal: its text, its details, its metadata."""
    try:
        answer = await ask()
    except errors.SidegateError as error:
        cause = error.__cause__
        beside = (
            str(cause.trailing_metadata()) + str(cause.details()) if isinstance(cause, grpc.aio.AioRpcError) else ""
        )
        return f"{type(error).__name__}: {error} {error.reason} {error.field} {dict(error.metadata)} {beside}"
    shown = answer if isinstance(answer, list | tuple) else [answer]
    return "\n".join(MessageToString(each) if isinstance(each, Message) else repr(each) for each in shown)


def leaks(said: Mapping[str, str], secrets: Mapping[str, str], asked: Sequence[str]) -> list[str]:
    """Where a secret stands in what was said: as a word of its own, not within a longer number.

    A refusal may repeat what was asked for.
    """
    found = []
    for where, text in said.items():
        known = asked if REFUSED.match(text) else ()
        found += [
            f"{secret} ({what}) in {where}: {text[:600]}"
            for what, secret in secrets.items()
            if secret not in known and _stands(secret, text)
        ]
    return found


def _stands(secret: str, text: str) -> bool:
    place = text.find(secret)
    while place >= 0:
        before, after = text[place - 1 : place], text[place + len(secret) : place + len(secret) + 1]
        if not (before.isalnum() or after.isalnum()):
            return True
        place = text.find(secret, place + 1)
    return False
