"""What happens and to what, in words: those of watches, and what is the operator's alone."""

from collections.abc import Mapping

from services.console.pages.chronicle import SAID
from services.console.pages.words import gettext
from services.console.pages.words import marked as _

KINDS: Mapping[str, str] = {
    "vpc": _("VPC"),
    "subnet": _("Subnet"),
    "port": _("Port"),
    "route_table": _("Route table"),
    "service": _("Endpoint service"),
    "endpoint": _("Endpoint"),
    "connection": _("Connection"),
    "attachment": _("Attachment"),
    "default_attachment": _("Default attachment"),
    "account": _("Account"),
    "access_key": _("Access key"),
    "events_credential": _("Events credential"),
    "gateway": _("Gateway"),
    "resolver": _("Resolver"),
}

OPERATORS_OWN = ("attachment", "default_attachment", "account", "access_key", "events_credential", "gateway")

FACTS: Mapping[str, str] = {
    "account_created": _("Account created"),
    "project_created": _("Project created"),
    "access_key_created": _("Access key created"),
    "access_key_rotated": _("Access key has another secret"),
    "access_key_revoked": _("Access key revoked"),
    "events_credential_created": _("Events credential created"),
    "events_credential_revoked": _("Events credential revoked"),
    "default_attachment_set": _("Default attachment set"),
    "default_attachment_deleted": _("Default attachment deleted"),
    "routes_reserved": _("Routes taken"),
    "routes_released": _("Routes given back"),
    "service_forwarding_changed": _("Forwarded anew to a cell"),
    "attachment_changed": _("Reached anew from a cell"),
    "resolver_changed": _("Resolver of a cell changed"),
    "gateway_joined": _("Gateway joined"),
    "gateway_lost": _("Gateway lost"),
    "gateway_retired": _("Gateway retired"),
}
"""Facts that nobody watches: the operator reads of them here."""

CHANGES: Mapping[str, str] = {"made": _("added"), "gone": _("removed"), "changed": _("changed")}


def fact(what: str) -> str:
    return gettext(SAID.get(what) or FACTS.get(what) or what)


def kind(name: str) -> str:
    return gettext(KINDS[name]) if name in KINDS else name


def change(name: str) -> str:
    return gettext(CHANGES[name])
