"""Quotas: how many of something a project has, and may have."""

from sidegate.api.endpoint.v1.endpoint_service_pb2 import GetEndpointQuotaRequest
from sidegate.api.endpoint.v1.endpoint_service_pb2_grpc import EndpointsServiceStub
from sidegate.api.registry.v1.quota_pb2 import Quota
from sidegate.api.registry.v1.registry_service_pb2 import GetServiceQuotaRequest
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.transport import Caller


class Quotas:
    """A limit of -1 is none."""

    def __init__(self, registry: Caller, endpoint: Caller) -> None:
        self._registry, self._registry_stub = registry, RegistryServiceStub(registry.channel)
        self._endpoint, self._endpoint_stub = endpoint, EndpointsServiceStub(endpoint.channel)

    async def services(self) -> Quota:
        return await self._registry.ask(self._registry_stub.GetServiceQuota, GetServiceQuotaRequest())

    async def endpoints(self) -> Quota:
        return await self._endpoint.ask(self._endpoint_stub.GetEndpointQuota, GetEndpointQuotaRequest())
