"""A key's end is its tokens' end, though whoever asked for it did not wait."""

import asyncio
from typing import Any, cast

import pytest

from services.common.eventsourcing.context import CommandContext
from services.common.identity.ended import EndedTokens
from services.common.principal import Principal, Role
from services.registry.application.accounts import UNDER_WAY, Accounts
from services.registry.domain.account import AccessKey
from sidegate.api.registry.v1.account_pb2 import AccessKey as Message
from sidegate.api.registry.v1.account_service_pb2 import AccessKeySecret

KEY = AccessKey("AK1", "shop", "default", Role.ADMIN, 1)


class Vault:
    async def forget(self, _secret_id: str) -> None:
        pass


class Slow(Accounts):
    """The log takes its time, and the caller is gone when it has written."""

    def __init__(self, ended: EndedTokens) -> None:
        super().__init__(cast(Any, None), cast(Any, None), cast(Any, Vault()), ended)
        self.writing, self.may = asyncio.Event(), asyncio.Event()

    async def _known(self, _key_id: str) -> tuple[AccessKey, str]:
        return KEY, "secret"

    async def _keep(self, *_: Any) -> None:
        pass

    async def _execute(self, *_: Any, **__: Any) -> bytes:
        self.writing.set()
        await self.may.wait()
        return AccessKeySecret(key=Message(id=KEY.id, generation=2)).SerializeToString()


@pytest.mark.parametrize("deed", ["revoke", "rotate"])
async def test_tokens_end_though_the_caller_has_gone(deed: str) -> None:
    ended = EndedTokens()
    accounts = Slow(ended)
    context = CommandContext(Principal("shop", "default"), 10**18 * 2)
    calling = asyncio.create_task(getattr(accounts, deed)(KEY.id, context))
    await asyncio.wait_for(accounts.writing.wait(), 10)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    accounts.may.set()
    await asyncio.wait_for(asyncio.gather(*UNDER_WAY), 10)
    assert ended.has(KEY.id, 1)
