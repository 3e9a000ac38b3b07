"""Private names of services: asked for, stored and shown."""

import idna

from services.common.errors import Invalid
from services.registry.domain.private_name import FIELD, UNNAMED, PrivateName, Unnamed, check_name
from services.registry.wire.envelope import nanoseconds, timestamp
from sidegate.api.events.v1.registry_events_pb2 import ServicePrivateName
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.endpoint_service_pb2 import PrivateName as NameMessage


def parse_private_name(service: EndpointService) -> str:
    """The name that a caller wants, in the DNS's own form; empty for none. Raises Invalid."""
    text = service.private_name.name.strip().removesuffix(".")
    if not text:
        if service.private_name.name.strip():
            raise Invalid("DNS_NAME_INVALID", "the DNS's root cannot be a private name", field=FIELD)
        return ""
    name = _ascii(text)
    check_name(name)
    return name


def private_name_message(named: PrivateName | Unnamed) -> NameMessage | None:
    if isinstance(named, Unnamed):
        return None
    verified = named.verified_at > 0
    return NameMessage(
        name=named.name,
        state=NameMessage.STATE_VERIFIED if verified else NameMessage.STATE_PENDING_VERIFICATION,
        record_name=named.record,
        record_value=named.value,
        verify_time=timestamp(named.verified_at) if verified else None,
    )


def private_name_of(holder: EndpointService | ServicePrivateName) -> PrivateName | Unnamed:
    """The name of a service, or of a change of it."""
    if not holder.HasField("private_name"):
        return UNNAMED
    stored = holder.private_name
    return PrivateName(stored.name, stored.record_value, nanoseconds(stored.verify_time))


def verified_name(service: EndpointService) -> str:
    """What endpoints with DNS answer to; empty where there is none, or none that is verified."""
    named = service.private_name
    return named.name if named.state == NameMessage.STATE_VERIFIED else ""


def _ascii(text: str) -> str:
    """With other alphabets as the DNS has them (IDNA 2008)."""
    try:
        if not text.isascii():
            return idna.encode(text, uts46=True, std3_rules=True).decode().lower()
        for label in text.lower().split("."):
            if label.startswith("xn--"):
                idna.ulabel(label)
    except (idna.IDNAError, UnicodeError) as error:
        shown = text[:80].encode("unicode_escape").decode()
        raise Invalid("DNS_NAME_INVALID", f"'{shown}' cannot be a private name: {error}", field=FIELD) from None
    return text.lower()
