"""`sidegate key`: what callers prove with who they are."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from sidegate.api.registry.v1.account_pb2 import AccessKey, Role
from sidegate.cli import keys
from sidegate.cli.command import Noun
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("key", "Access keys: what callers prove with who they are. For the operator.")

Key = Annotated[str, typer.Argument(metavar="ACCESS_KEY", help="The key's id.")]
OfAccount = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account that it speaks for.")]


class Roles(StrEnum):
    """What a key may be used for."""

    OPERATOR = "operator"
    ADMIN = "admin"
    VIEWER = "viewer"


ROLES = {
    Roles.OPERATOR: Role.ROLE_OPERATOR,
    Roles.ADMIN: Role.ROLE_ADMIN,
    Roles.VIEWER: Role.ROLE_VIEWER,
}


@noun.write("create", "sidegate key create shop --role viewer", "sidegate key create operator --role operator -o json")
async def create(
    session: Session,
    account: OfAccount,
    project: Annotated[
        str, typer.Option("--of", metavar="PROJECT", help="The project that it speaks for.")
    ] = "default",
    role: Annotated[Roles, typer.Option(help="An admin does everything in the project, a viewer reads.")] = Roles.ADMIN,
) -> View:
    """Create an access key, and show its secret."""
    return keys.secret(session, await session.sidegate.accounts.create_key(account, project, ROLES[role]))


@noun.verb("list", "sidegate key list shop")
async def list_(session: Session, account: OfAccount) -> Sequence[AccessKey]:
    """List an account's keys, revoked ones too."""
    return [key async for key in session.sidegate.accounts.keys(account)]


@noun.write("rotate", "sidegate key rotate AK0123456789ABCDEF0123", etag=True)
async def rotate(session: Session, key: Key) -> View:
    """Give a key another secret, and show it; the one before and its tokens end at once."""
    return keys.secret(session, await session.sidegate.accounts.rotate_key(key))


@noun.write("revoke", "sidegate key revoke AK0123456789ABCDEF0123", etag=True)
async def revoke(session: Session, key: Key) -> AccessKey:
    """End a key and its tokens, for good."""
    return await session.sidegate.accounts.revoke_key(key)
