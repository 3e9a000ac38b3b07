"""Accounts and tokens: requests to use cases, and back."""

from services.common.rpc import paging
from services.common.rpc.auth import identity, peer, require_operator
from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.registry.application.accounts import Accounts
from services.registry.application.tokens import Proof, Tokens
from services.registry.wire import selections
from services.registry.wire.accounts import ROLES
from sidegate.api.registry.v1 import account_pb2, account_service_pb2
from sidegate.api.registry.v1 import account_service_pb2_grpc as account_grpc


class AccountsServicer(account_grpc.AccountsServiceServicer):
    """The operator's, in its own name: nothing of this is done for another account."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def CreateAccount(
        self, request: account_service_pb2.CreateAccountRequest, context: Context
    ) -> account_service_pb2.CreateAccountResponse:
        require_operator()
        return await self._accounts.create(request.account.name, command_context(request, "CreateAccount"))

    async def GetAccount(self, request: account_service_pb2.GetAccountRequest, context: Context) -> account_pb2.Account:
        require_operator()
        return await self._accounts.get(request.name)

    async def ListAccounts(
        self, request: account_service_pb2.ListAccountsRequest, context: Context
    ) -> account_service_pb2.ListAccountsResponse:
        require_operator()
        asked = paging.asked(request)
        found = await self._accounts.listed(asked.window, selections.accounts(request))
        accounts, token = asked.cut(found)
        return account_service_pb2.ListAccountsResponse(
            accounts=accounts, next_page_token=token, total_size=found.total
        )

    async def CreateProject(
        self, request: account_service_pb2.CreateProjectRequest, context: Context
    ) -> account_pb2.Account:
        require_operator()
        told = command_context(request, "CreateProject", request.etag)
        return await self._accounts.create_project(request.account, request.project, told)

    async def CreateAccessKey(
        self, request: account_service_pb2.CreateAccessKeyRequest, context: Context
    ) -> account_service_pb2.AccessKeySecret:
        require_operator()
        return await self._accounts.create_key(request.key, command_context(request, "CreateAccessKey"))

    async def ListAccessKeys(
        self, request: account_service_pb2.ListAccessKeysRequest, context: Context
    ) -> account_service_pb2.ListAccessKeysResponse:
        require_operator()
        asked = paging.asked(request)
        found = await self._accounts.keys(request.account, asked.window, selections.access_keys(request))
        keys, token = asked.cut(found)
        return account_service_pb2.ListAccessKeysResponse(keys=keys, next_page_token=token, total_size=found.total)

    async def RotateAccessKey(
        self, request: account_service_pb2.RotateAccessKeyRequest, context: Context
    ) -> account_service_pb2.AccessKeySecret:
        require_operator()
        return await self._accounts.rotate(request.id, command_context(request, "RotateAccessKey", request.etag))

    async def RevokeAccessKey(
        self, request: account_service_pb2.RevokeAccessKeyRequest, context: Context
    ) -> account_pb2.AccessKey:
        require_operator()
        return await self._accounts.revoke(request.id, command_context(request, "RevokeAccessKey", request.etag))


class TokenServicer(account_grpc.TokenServiceServicer):
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def IssueToken(
        self, request: account_service_pb2.IssueTokenRequest, context: Context
    ) -> account_service_pb2.IssueTokenResponse:
        proof = Proof(request.access_key, request.timestamp, request.nonce, request.signature)
        token, ends = await self._tokens.issue(proof, peer())
        answer = account_service_pb2.IssueTokenResponse(token=token)
        answer.expire_time.FromSeconds(ends)
        return answer

    async def GetIdentity(
        self, request: account_service_pb2.GetIdentityRequest, context: Context
    ) -> account_service_pb2.Identity:
        found = identity()
        caller, role = found.principal, ROLES[found.role]
        return account_service_pb2.Identity(
            account=caller.account,
            project=caller.project,
            role=role,
            access_key=caller.access_key,
            acting=caller.acting,
        )
