"""What an attachment reaches, as a form says it."""

import re

from services.console.pages.forms import Typed
from services.console.pages.words import gettext as _
from sidegate import errors
from sidegate.api.registry.v1.vpc_pb2 import InterfaceTarget, NetnsPattern, NetnsTarget, VxlanRange, VxlanTarget
from sidegate.resources.attachments import Target

KINDS = ("netns", "vxlan", "interface")
MAC = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
LARGEST = 2**32 - 1


def target(form: Typed) -> Target:
    """The one that the form chooses. Raises InvalidRequest."""
    match form.text("kind"):
        case "netns":
            return NetnsTarget(namespace=form.text("namespace"), device=form.text("device"))
        case "vxlan":
            return VxlanTarget(
                vni=_number(form, "vni"),
                remotes=form.list("remotes"),
                port=_number(form, "port"),
                local=form.text("local"),
                mtu=_number(form, "mtu"),
            )
        case "interface":
            return _interface(form.text("interface"))
        case _:
            raise errors.InvalidRequest(_("Choose what is reached."), reason="BAD_FIELD", field="kind")


def template(form: Typed) -> NetnsPattern | VxlanRange:
    """What each VPC gets. Raises InvalidRequest."""
    match form.text("kind"):
        case "netns":
            return NetnsPattern(namespace=form.text("namespace"), device=form.text("device"))
        case "vxlan":
            return VxlanRange(
                first_vni=_number(form, "first_vni"),
                last_vni=_number(form, "last_vni"),
                remotes=form.list("remotes"),
                port=_number(form, "port"),
                local=form.text("local"),
                mtu=_number(form, "mtu"),
            )
        case _:
            raise errors.InvalidRequest(_("Choose what is reached."), reason="BAD_FIELD", field="kind")


def _interface(said: str) -> InterfaceTarget:
    """A device by its hardware address, its IPv4 address, or its name."""
    if MAC.fullmatch(said):
        return InterfaceTarget(mac=said)
    return InterfaceTarget(address=said) if IPV4.fullmatch(said) else InterfaceTarget(name=said)


def _number(form: Typed, name: str) -> int:
    """Raises InvalidRequest for what is no number."""
    if (number := form.number(name)) < 0 or number > LARGEST:
        raise errors.InvalidRequest(_("This is no number."), reason="BAD_FIELD", field=name)
    return number
