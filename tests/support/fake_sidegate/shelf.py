"""Resources in memory: kept by id, listed in pages, changed field by field, watched."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Generic, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.empty_pb2 import Empty
from google.rpc import error_details_pb2

from tests.support.fake_sidegate.script import status

Context = grpc.aio.ServicerContext[Any, Any]
R = TypeVar("R", bound=Any)

LARGEST_PAGE = 2
LOOK_SECONDS = 0.01


class Shelf(dict[str, R]):
    """Resources of one kind by id, in order of creation, and the answers to requests that were made."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.request_ids: list[str] = []
        self._answers: dict[str, R] = {}

    def add(self, resource: R, request_id: str) -> R:
        self.request_ids.append(request_id)
        if request_id not in self._answers:
            resource.id = resource.id or str(uuid4())
            self[resource.id] = self._answers[request_id] = resource
        return self._answers[request_id]

    async def find(self, id: str, context: Context) -> R:
        if id not in self:
            info = error_details_pb2.ErrorInfo(
                reason="NOT_FOUND", domain="sidegate", metadata={"kind": self.kind, "id": id}
            )
            await context.abort_with_status(status(grpc.StatusCode.NOT_FOUND, f"{self.kind} {id} is not there", info))
        return self[id]

    async def take(self, id: str, context: Context) -> Empty:
        await self.find(id, context)
        del self[id]
        return Empty()


def page(items: Iterable[R], request: Any) -> tuple[list[R], str]:
    """Never more than LARGEST_PAGE, so that every list is more than one page."""
    known = list(items)
    start = int(request.page_token or 0)
    end = start + min(request.page_size or LARGEST_PAGE, LARGEST_PAGE)
    return known[start:end], str(end) if end < len(known) else ""


def replace(resource: Any, wanted: Any, paths: Sequence[str]) -> None:
    for path in paths:
        resource.ClearField(path)
        one = type(wanted)()
        one.CopyFrom(wanted)
        for descriptor in one.DESCRIPTOR.fields:
            if descriptor.name != path:
                one.ClearField(descriptor.name)
        resource.MergeFrom(one)


class Feed(Generic[R]):
    """Answers of a watch, by position; who asks gets what is above the position that he names, as it is put here.

    As often as `cuts` says, an answer is followed by the end of the stream.
    """

    def __init__(self) -> None:
        self.answers: list[R] = []
        self.asked: list[Any] = []
        self.cuts = 0

    async def tell(self, request: Any, context: Context) -> AsyncIterator[R]:
        self.asked.append(request)
        after = request.after
        while True:
            for answer in [each for each in self.answers if each.position > after]:
                yield answer
                after = answer.position
            if self.cuts:
                self.cuts -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
            await asyncio.sleep(LOOK_SECONDS)  # the test puts answers here from another thread
