"""Accounts, projects and access keys, for the operator; and who the caller itself is."""

from collections.abc import AsyncIterator

from sidegate.api.registry.v1 import account_service_pb2 as rpc
from sidegate.api.registry.v1.account_pb2 import AccessKey, Account, Role
from sidegate.api.registry.v1.account_service_pb2_grpc import AccountsServiceStub, TokenServiceStub
from sidegate.resources.paging import SIZE, Page
from sidegate.transport import Caller


class Accounts:
    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, AccountsServiceStub(caller.channel)
        self._tokens = TokenServiceStub(caller.channel)

    async def create(self, name: str, *, request_id: str = "") -> rpc.CreateAccountResponse:
        """An account with a project `default`, and its first key: the answer alone shows the secret."""
        request = rpc.CreateAccountRequest(account=Account(name=name), request_id=request_id)
        return await self._caller.write(self._stub.CreateAccount, request)

    async def get(self, name: str) -> Account:
        return await self._caller.ask(self._stub.GetAccount, rpc.GetAccountRequest(name=name))

    async def list(self) -> AsyncIterator[Account]:
        """Accounts in order of creation."""
        async for page in self._caller.pages(self._stub.ListAccounts, rpc.ListAccountsRequest()):
            for account in page.accounts:
                yield account

    async def page(self, *, skip: int = 0, size: int = SIZE, name_contains: str = "") -> Page[Account]:
        """So many of those with this in their name, behind as many others, and how many there are."""
        request = rpc.ListAccountsRequest(page_size=size, skip=skip, want_total=True, name_contains=name_contains)
        answer = await self._caller.ask(self._stub.ListAccounts, request)
        return Page(answer.accounts, answer.total_size)

    async def create_project(self, account: str, project: str, *, request_id: str = "") -> Account:
        request = rpc.CreateProjectRequest(account=account, project=project, request_id=request_id)
        return await self._caller.write(self._stub.CreateProject, request)

    async def create_key(
        self, account: str, project: str, role: Role.ValueType, *, request_id: str = ""
    ) -> rpc.AccessKeySecret:
        """A key of a project: the answer alone shows the secret."""
        key = AccessKey(account=account, project=project, role=role)
        request = rpc.CreateAccessKeyRequest(key=key, request_id=request_id)
        return await self._caller.write(self._stub.CreateAccessKey, request)

    async def keys(self, account: str) -> AsyncIterator[AccessKey]:
        """An account's keys in order of creation, revoked ones too."""
        request = rpc.ListAccessKeysRequest(account=account)
        async for page in self._caller.pages(self._stub.ListAccessKeys, request):
            for key in page.keys:
                yield key

    async def rotate_key(self, id_: str, *, request_id: str = "") -> rpc.AccessKeySecret:
        """Another secret for a key; the one before, and its tokens, end at once."""
        request = rpc.RotateAccessKeyRequest(id=id_, request_id=request_id)
        return await self._caller.write(self._stub.RotateAccessKey, request)

    async def revoke_key(self, id_: str, *, request_id: str = "") -> AccessKey:
        """Ends a key and its tokens, for good."""
        request = rpc.RevokeAccessKeyRequest(id=id_, request_id=request_id)
        return await self._caller.write(self._stub.RevokeAccessKey, request)

    async def who_am_i(self) -> rpc.Identity:
        return await self._caller.ask(self._tokens.GetIdentity, rpc.GetIdentityRequest())
