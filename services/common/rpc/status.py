"""How this program is doing, for the operator: the same service in every program."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.clock import Clock, now
from services.common.errors import Forbidden
from services.common.messaging.metrics import is_connected
from services.common.rpc.auth import principal
from services.common.rpc.calls import Context
from services.common.rpc.health import Health
from services.common.rpc.server import Hosted
from sidegate.api.status.v1 import status_pb2 as status_pb
from sidegate.api.status.v1 import status_pb2_grpc as status_grpc

NAME = "sidegate.api.status.v1.StatusService"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a program has come. Positions and lag are of events; see the contract."""

    position: int
    lag: int = 0
    in_sync: bool = False


class StatusServicer(status_grpc.StatusServiceServicer):
    """`health` is set as soon as there is one: the server that it tells is made with this servicer."""

    def __init__(self, program: str, progress: Callable[[], Progress], clock: Clock = now) -> None:
        self._program, self._progress = program, progress
        self._began = Timestamp()
        self._began.FromNanoseconds(clock())
        self.health: Health | None = None
        self.metrics = ""

    def hosted(self) -> Hosted:
        return Hosted(NAME, lambda server: status_grpc.add_StatusServiceServicer_to_server(self, server))

    async def GetStatus(self, request: status_pb.GetStatusRequest, context: Context) -> status_pb.GetStatusResponse:
        caller = principal()
        if not (caller.is_operator or caller.is_system):
            raise Forbidden("OPERATOR_ONLY", "only the operator may ask how a program is doing")
        difficulties = self.health.difficulties if self.health else ["it is starting"]
        progress = self._progress()
        return status_pb.GetStatusResponse(
            program=self._program,
            version=version("sidegate"),
            start_time=self._began,
            serving=not difficulties,
            difficulties=difficulties,
            nats_connected=is_connected(),
            position=progress.position,
            lag=progress.lag,
            in_sync=progress.in_sync,
            metrics_address=self.metrics,
        )
