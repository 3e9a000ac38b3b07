"""The registry, asked with our certificate whose a signature or a token is: all that it lets this program do."""

from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1.registry_internal_service_pb2_grpc import RegistryInternalServiceStub
from sidegate.transport import Caller


class RegistryChecks:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub: RegistryInternalServiceStub = RegistryInternalServiceStub(caller.channel)

    async def verify(self, request: internal_pb2.VerifySignatureRequest) -> internal_pb2.VerifySignatureResponse:
        """Raises SidegateError."""
        return await self._caller.ask(self._stub.VerifySignature, request)

    async def verify_token(self, request: internal_pb2.VerifyTokenRequest) -> internal_pb2.VerifyTokenResponse:
        """Raises SidegateError."""
        return await self._caller.ask(self._stub.VerifyToken, request)
