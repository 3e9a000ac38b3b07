"""How the programs are doing, told by themselves."""

from sidegate.api.status.v1 import status_pb2 as rpc
from sidegate.api.status.v1.status_pb2_grpc import StatusServiceStub
from sidegate.transport import Caller


class Program:
    """One program: the registry, the endpoint service, or the gateway of this machine. For the operator."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, StatusServiceStub(caller.channel)

    async def status(self) -> rpc.GetStatusResponse:
        """How it is doing now; what it cannot do, it names."""
        return await self._caller.ask(self._stub.GetStatus, rpc.GetStatusRequest())
