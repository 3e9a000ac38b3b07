"""Gives tokens to the one who has the operator's credential."""

import time
from typing import Any

import grpc

from sidegate.api.registry.v1 import account_pb2, account_service_pb2
from sidegate.api.registry.v1.account_service_pb2_grpc import TokenServiceServicer
from sidegate.credentials import Credential

CREDENTIAL = Credential("operator", "default", "AK-OPERATOR", "a secret of the operator's")


class FakeTokens(TokenServiceServicer):
    """`lifetime` is in seconds; `issued` are all tokens so far."""

    def __init__(self) -> None:
        self.lifetime = 900
        self.issued: list[str] = []

    async def IssueToken(self, request: account_service_pb2.IssueTokenRequest, context: Any) -> Any:
        if request.signature != CREDENTIAL.sign(request.timestamp, request.nonce):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
        self.issued.append(f"token-{len(self.issued)}")
        answer = account_service_pb2.IssueTokenResponse(token=self.issued[-1])
        answer.expire_time.FromSeconds(int(time.time()) + self.lifetime)
        return answer

    async def GetIdentity(self, request: account_service_pb2.GetIdentityRequest, context: Any) -> Any:
        return account_service_pb2.Identity(
            account="operator", project="default", role=account_pb2.ROLE_OPERATOR, access_key=CREDENTIAL.access_key
        )
