"""Use cases of accounts, projects and access keys. Secrets are sealed before the event that names them is stored."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from services.common.errors import Invalid, NotFound
from services.common.etags import revision_of, stamped
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.selection import Found, Scope, Selection, Window
from services.common.identity.ended import EVERY, Ended, EndedTokens
from services.common.principal import OPERATOR
from services.registry.application.streams import Streams, stream
from services.registry.domain import account as domain
from services.registry.domain.account import AccessKey, Create, CreateKey, CreateProject, RevokeKey, RotateKey
from services.registry.projections import ACCESS_KEY, ACCOUNT, Resources
from services.registry.wire.accounts import account_message, key_message, key_of, role_of
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import account_pb2, account_service_pb2
from sidegate.credentials import Credential

T = TypeVar("T")

Render = Callable[[domain.Present], bytes]

UNDER_WAY: set[asyncio.Task[Any]] = set()
"""What goes on though nobody waits for it: the event loop itself would let go of it."""


class Secrets(Protocol):
    """Where the secrets of access keys lie."""

    async def keep(self, secret_id: str, key_id: str, secret: str) -> None: ...
    async def reveal(self, secret_id: str, key_id: str) -> str | None: ...
    async def forget(self, secret_id: str) -> None: ...


class Accounts:
    """`ended` hears at once of keys whose tokens end."""

    def __init__(self, streams: Streams, resources: Resources, vault: Secrets, ended: EndedTokens) -> None:
        self._streams, self._resources, self._vault, self._ended = streams, resources, vault, ended

    async def create(self, name: str, context: CommandContext) -> account_service_pb2.CreateAccountResponse:
        if name == OPERATOR:
            raise Invalid("NAME_RESERVED", f"{name} is the account of who owns the platform", field="account.name")
        domain.require_name(name)
        key_id, secret_id, secret = _new_key_id(), _new_secret_id(), _new_secret()
        await self._keep(secret_id, key_id, secret, context)

        def answer(state: domain.Present) -> bytes:
            shown = account_service_pb2.AccessKeySecret(key=_shown(state, key_id))
            made = account_service_pb2.CreateAccountResponse(account=_account(state), key=shown)
            return made.SerializeToString(deterministic=True)

        response = await self._execute(name, Create(name, key_id, secret_id, context.at_ns), context, answer)
        told = account_service_pb2.CreateAccountResponse.FromString(response)
        if told.key.key.id == key_id and not context.validate_only:
            told.key.secret_key = secret
        return told

    async def create_project(self, account: str, project: str, context: CommandContext) -> account_pb2.Account:
        await self.get(account)
        response = await self._execute(
            account,
            CreateProject(project),
            context,
            lambda state: _account(state).SerializeToString(),
            lambda state: revision_of(_account(state)),
        )
        return account_pb2.Account.FromString(response)

    async def create_key(
        self, wanted: account_pb2.AccessKey, context: CommandContext
    ) -> account_service_pb2.AccessKeySecret:
        await self.get(wanted.account)
        key_id, secret_id, secret = _new_key_id(), _new_secret_id(), _new_secret()
        project = wanted.project or domain.DEFAULT_PROJECT
        key = AccessKey(key_id, wanted.account, project, role_of(wanted.role), context.at_ns)
        await self._keep(secret_id, key_id, secret, context)
        response = await self._execute(wanted.account, CreateKey(key, secret_id), context, _key(key_id))
        return _told(response, key_id, 1, "" if context.validate_only else secret)

    async def rotate(self, key_id: str, context: CommandContext) -> account_service_pb2.AccessKeySecret:
        return await to_the_end(self._rotate(key_id, context))

    async def revoke(self, key_id: str, context: CommandContext) -> account_pb2.AccessKey:
        return await to_the_end(self._revoke(key_id, context))

    async def _rotate(self, key_id: str, context: CommandContext) -> account_service_pb2.AccessKeySecret:
        known, secret_before = await self._known(key_id)
        secret_id, secret = _new_secret_id(), _new_secret()
        await self._keep(secret_id, key_id, secret, context)
        command = RotateKey(key_id, secret_id, context.at_ns)
        response = await self._execute(known.account, command, context, _key(key_id), _revision(key_id))
        if context.validate_only:
            return account_service_pb2.AccessKeySecret.FromString(response)
        # A repeat, or another rotation at the same moment, must not pass off this secret as the valid one.
        valid = (await self._known(key_id))[1] == secret_id
        told = _told(response, key_id, 0, secret if valid else "")
        self._ended.end(Ended(key_id, told.key.generation, context.at_ns))
        await self._vault.forget(secret_before if valid else secret_id)
        return told

    async def _revoke(self, key_id: str, context: CommandContext) -> account_pb2.AccessKey:
        known, secret_id = await self._known(key_id)
        command = RevokeKey(key_id, context.at_ns)
        response = await self._execute(known.account, command, context, _key(key_id), _revision(key_id))
        if context.validate_only:
            return account_service_pb2.AccessKeySecret.FromString(response).key
        self._ended.end(Ended(key_id, EVERY, context.at_ns))
        if secret_id:
            await self._vault.forget(secret_id)
        return account_service_pb2.AccessKeySecret.FromString(response).key

    async def get(self, name: str) -> account_pb2.Account:
        found = await self._resources.get(ACCOUNT, name)
        if found is None:
            raise NotFound(ACCOUNT.name, name)
        return found

    async def listed(self, window: Window, selection: Selection) -> Found[account_pb2.Account]:
        return await self._resources.read(lambda now: now.listed(ACCOUNT, window, selection=selection))

    async def keys(self, account: str, window: Window, selection: Selection) -> Found[account_pb2.AccessKey]:
        await self.get(account)
        found = await self._resources.read(lambda now: now.listed(ACCESS_KEY, window, Scope(parent=account), selection))
        return Found([(at, event.access_key) for at, event in found.rows], found.total)

    async def has_operator(self) -> bool:
        return await self._resources.get(ACCOUNT, OPERATOR) is not None

    async def begin(self, credential: Credential, context: CommandContext) -> None:
        """Creates the operator's account with this first key."""
        secret_id = _new_secret_id()
        await self._vault.keep(secret_id, credential.access_key, credential.secret_key)
        command = Create(OPERATOR, credential.access_key, secret_id, context.at_ns)
        await self._execute(OPERATOR, command, context, lambda _state: b"")

    async def _keep(self, secret_id: str, key_id: str, secret: str, context: CommandContext) -> None:
        if not context.validate_only and await self._streams.first_answer(context) is None:
            await self._vault.keep(secret_id, key_id, secret)

    async def _known(self, key_id: str) -> tuple[AccessKey, str]:
        """A key and where its secret lies; that is nowhere, if it was revoked."""
        found = await self._resources.get(ACCESS_KEY, key_id)
        if found is None:
            raise NotFound(ACCESS_KEY.name, key_id)
        return key_of(found.access_key), _secret_of(found)

    async def _execute(
        self,
        account: str,
        command: domain.Command,
        context: CommandContext,
        answer: Render,
        revision: Callable[[domain.Present], int] | None = None,
    ) -> bytes:
        outcome = await self._streams.accounts.execute(
            stream("account", account),
            command,
            context,
            lambda state, _: answer(domain.of(state)),
            revision=revision and (lambda state, _: revision(domain.of(state))),
        )
        return outcome.response


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Goes on though whoever waits for it is gone: a key whose end is in the log must not be good for its tokens."""
    task = asyncio.ensure_future(work)
    UNDER_WAY.add(task)
    task.add_done_callback(UNDER_WAY.discard)
    return await asyncio.shield(task)


async def owners_of_secrets(resources: Resources) -> Mapping[str, str]:
    """The access key of each secret that is valid."""
    events = await resources.read(lambda now: list(now.all(ACCESS_KEY, states=())))
    return {_secret_of(event): event.access_key.id for event in events if _secret_of(event)}


def _secret_of(event: RegistryEvent) -> str:
    """Where a key's secret lies after the last event of it; nowhere, if it was revoked."""
    return event.access_key_created.secret_id or event.access_key_rotated.secret_id


def new_credential(account: str = OPERATOR, project: str = domain.DEFAULT_PROJECT) -> Credential:
    """An access key and a secret that nobody has had."""
    return Credential(account, project, _new_key_id(), _new_secret())


def _key(key_id: str) -> Render:
    """The stored answer: the key, never its secret."""
    return lambda state: account_service_pb2.AccessKeySecret(key=_shown(state, key_id)).SerializeToString()


def _account(state: domain.Present) -> account_pb2.Account:
    return stamped(account_message(state.account))


def _shown(state: domain.Present, key_id: str) -> account_pb2.AccessKey:
    return stamped(key_message(state.keys[key_id]))


def _revision(key_id: str) -> Callable[[domain.Present], int]:
    """A key's etag counts no change of its account or of other keys."""
    return lambda state: revision_of(key_message(state.keys[key_id]))


def _told(response: bytes, key_id: str, generation: int, secret: str) -> account_service_pb2.AccessKeySecret:
    """The answer with the secret, if it is the answer to this very call."""
    told = account_service_pb2.AccessKeySecret.FromString(response)
    if told.key.id == key_id and generation in (0, told.key.generation):
        told.secret_key = secret
    return told


def _new_key_id() -> str:
    return "AK" + secrets.token_hex(10).upper()


def _new_secret_id() -> str:
    return secrets.token_hex(16)


def _new_secret() -> str:
    return secrets.token_urlsafe(32)
