"""Who may connect, as people call them."""

from services.console.pages.words import gettext as _

ACCOUNT = "iam:domain::"


def called(permission: str) -> str:
    """As it is typed: the account's name, or `*`; an organisation's path as the contract writes it."""
    return permission.removeprefix(ACCOUNT)


def spoken(permission: str) -> str:
    name = called(permission)
    return _("everybody") if name == "*" else name
