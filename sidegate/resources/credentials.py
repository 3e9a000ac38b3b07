"""Credentials for a project's own programs."""

from collections.abc import AsyncIterator
from datetime import datetime

from sidegate.api.registry.v1 import credential_service_pb2 as rpc
from sidegate.api.registry.v1.credential_pb2 import EventsCredential
from sidegate.api.registry.v1.credential_service_pb2_grpc import CredentialsServiceStub
from sidegate.nkeys import KeyPair, Role, UserCredential
from sidegate.transport import Caller


class Credentials:
    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, CredentialsServiceStub(caller.channel)

    async def create_events(self, until: datetime | None = None) -> tuple[EventsCredential, UserCredential]:
        """A user of NATS that reads the project's view, for a year or until then.

        Its key is made here, and is not sent.
        """
        key = KeyPair.new(Role.USER)
        wanted = EventsCredential(public_key=key.public)
        if until is not None:
            wanted.expire_time.FromDatetime(until)
        request = rpc.CreateEventsCredentialRequest(credential=wanted)
        made = await self._caller.write(self._stub.CreateEventsCredential, request)
        return made.credential, UserCredential(made.jwt, key)

    async def events(self) -> AsyncIterator[EventsCredential]:
        """The project's, in order of creation, revoked ones too."""
        request = rpc.ListEventsCredentialsRequest()
        async for page in self._caller.pages(self._stub.ListEventsCredentials, request):
            for credential in page.credentials:
                yield credential

    async def revoke_events(self, id_: str) -> EventsCredential:
        """Ends one for good, and its connections."""
        return await self._caller.write(self._stub.RevokeEventsCredential, rpc.RevokeEventsCredentialRequest(id=id_))
