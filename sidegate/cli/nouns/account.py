"""`sidegate account`: who owns things."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.account_pb2 import Account
from sidegate.cli import keys
from sidegate.cli.command import Noun
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("account", "Accounts and their projects. For the operator.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]


@noun.write("create", "sidegate account create shop", "sidegate account create shop -o json")
async def create(session: Session, name: Name) -> View:
    """Create an account with a project `default`, and show its first access key, which may do everything in it."""
    return keys.secret(session, (await session.sidegate.accounts.create(name)).key)


@noun.verb("get", "sidegate account get shop")
async def get(session: Session, name: Name) -> Account:
    """Show an account and its projects."""
    return await session.sidegate.accounts.get(name)


@noun.verb("list", "sidegate account list")
async def list_(session: Session) -> Sequence[Account]:
    """List accounts."""
    return [account async for account in session.sidegate.accounts.list()]


@noun.write("create-project", "sidegate account create-project shop live", etag=True)
async def create_project(
    session: Session, name: Name, project: Annotated[str, typer.Argument(help="Unique in the account.")]
) -> Account:
    """Add a project to an account."""
    return await session.sidegate.accounts.create_project(name, project)
