"""A log's past that was written down beforehand."""

from typing import Any

from sidegate.api.events.v1 import history_pb2, history_pb2_grpc
from tests.support.fake_sidegate.shelf import Context

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND


class FakeHistory(history_pb2_grpc.HistoryServiceServicer):
    """What was there from each position on; position n was recorded n seconds after BEGIN."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at: dict[int, list[history_pb2.ResourceState]] = {}
        self.asked: list[history_pb2.ReadStateRequest] = []

    async def ReadState(self, request: history_pb2.ReadStateRequest, context: Context) -> Any:
        self.asked.append(request)
        moment = (request.time.ToNanoseconds() - BEGIN) // SECOND if request.HasField("time") else 10**9
        place = max((each for each in self.at if each <= (request.position or moment)), default=0)
        header = history_pb2.StateHeader(log=self.name, log_id="l", epoch=1, position=place)
        header.time.FromNanoseconds(BEGIN + place * SECOND)
        yield history_pb2.ReadStateResponse(header=header)
        for state in self.at.get(place, []):  # one by one: whoever asks puts the parts together
            if request.WhichOneof("scope") != "resource" or state.id == request.resource.id:
                yield history_pb2.ReadStateResponse(states=[state])

    async def ListDeeds(self, request: history_pb2.ListDeedsRequest, context: Context) -> history_pb2.ListDeedsResponse:
        """Nothing has happened."""
        return history_pb2.ListDeedsResponse()
