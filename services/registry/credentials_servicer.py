"""Credentials for projects' own programs: requests to use cases, and back."""

from collections.abc import Callable

from services.common.rpc import paging
from services.common.rpc.auth import principal
from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.registry.application.credentials import Credentials
from sidegate.api.registry.v1 import credential_pb2
from sidegate.api.registry.v1 import credential_service_pb2 as rpc
from sidegate.api.registry.v1 import credential_service_pb2_grpc as credential_grpc


class CredentialsServicer(credential_grpc.CredentialsServiceServicer):
    """`changed` is told when there is another one, or one less."""

    def __init__(self, credentials: Credentials, changed: Callable[[], None]) -> None:
        self._credentials, self._changed = credentials, changed

    async def CreateEventsCredential(
        self, request: rpc.CreateEventsCredentialRequest, context: Context
    ) -> rpc.CreateEventsCredentialResponse:
        told = command_context(request, "CreateEventsCredential")
        made = await self._credentials.create(request.credential, told)
        self._changed()
        return made

    async def ListEventsCredentials(
        self, request: rpc.ListEventsCredentialsRequest, context: Context
    ) -> rpc.ListEventsCredentialsResponse:
        asked = paging.asked(request)
        found = await self._credentials.listed(principal(), asked.window, request.newest_first)
        page, token = asked.cut(found)
        return rpc.ListEventsCredentialsResponse(credentials=page, next_page_token=token, total_size=found.total)

    async def RevokeEventsCredential(
        self, request: rpc.RevokeEventsCredentialRequest, context: Context
    ) -> credential_pb2.EventsCredential:
        told = command_context(request, "RevokeEventsCredential", request.etag)
        revoked = await self._credentials.revoke(request.id, told)
        self._changed()
        return revoked
