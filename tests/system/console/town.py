"""Who lives in the console's tests: a provider and a consumer with networks that are there, and the keys of both."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.credentials import Credential
from tests.support import namespaces
from tests.support.standalone import Standalone, until
from tests.support.world import MACHINE, Site, machine, site

ANSWER = "database"
"""What the provider's machine says."""


@dataclass
class Town:
    """A provider with a machine that answers, and a consumer, of whose keys the second only looks."""

    provider: Site
    consumer: Site
    providers_key: Credential
    consumers_key: Credential
    viewers_key: Credential

    async def publish(self, name: str, *, approval: bool = True, backend: str = MACHINE) -> EndpointService:
        """A service that the consumer may ask for."""
        service = await self.provider.publish(name, approval=approval, backend=backend)
        return await self.provider.client.services.permit(service.id, [f"iam:domain::{self.consumer.account}"])

    async def ask(self, service: EndpointService, number: int = 1) -> list[Endpoint]:
        return [await self.consumer.request(service) for _ in range(number)]

    async def connected(self, service: EndpointService, name: str) -> Endpoint:
        """An endpoint of a service that accepts by itself."""
        return await self.consumer.accepted(await self.consumer.request(service, name=name))

    async def accept(self, endpoint: Endpoint) -> None:
        await self.provider.client.connections.accept(endpoint.service, endpoint.id)

    async def all_are(self, service: EndpointService, *states: ConnectionState.ValueType) -> bool:
        found = [each.state async for each in self.provider.client.connections.list(service.id)]
        return bool(found) and all(state in states for state in found)

    async def only(self) -> Endpoint:
        """The one endpoint that the consumer has."""
        [endpoint] = [each async for each in self.consumer.client.endpoints.list()]
        return endpoint

    async def clear(self) -> None:
        """A project may have so many services and endpoints. Returns when they are gone."""
        for each in (self.provider, self.consumer):
            async for endpoint in each.client.endpoints.list():
                await each.client.endpoints.delete(endpoint.id)

        async def gone() -> bool:
            return not [each async for each in self.consumer.client.endpoints.list()]

        await until("endpoints to be gone", gone)
        async for service in self.provider.client.services.list(states=[EndpointService.STATE_AVAILABLE]):
            await self.provider.client.services.delete(service.id, force=True)


@asynccontextmanager
async def town_of(sidegate: Standalone, tenant: Callable[[str], Credential]) -> AsyncIterator[Town]:
    """With accounts that `tenant` makes."""
    async with AsyncExitStack() as stack:
        made = stack.enter_context(namespaces.make("provider", "consumer"))
        keys = tenant("provider"), tenant("consumer")
        provider, consumer = [
            await stack.enter_async_context(site(sidegate, key.account, namespace))
            for key, namespace in zip(keys, made, strict=True)
        ]
        await stack.enter_async_context(machine(provider.namespace, ANSWER))
        viewer = Credential.of(sidegate.answer("key", "create", consumer.account, "--role", "viewer"))
        yield Town(provider, consumer, *keys, viewer)
