"""How things are, as a word in the reader's language and a colour: words that the topology has, too."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.topology import states
from sidegate.topology.graph import Tone

WORDS: Mapping[str, str] = {
    "pendingAcceptance": _("waits for acceptance"),
    "creating": _("being created"),
    "accepted": _("accepted"),
    "rejected": _("rejected"),
    "failed": _("failed"),
    "deleting": _("being deleted"),
    "deleted": _("deleted"),
    "available": _("available"),
    "closing": _("closing"),
    "well": _("well"),
    "unhealthy": _("does not answer"),
    "unknown": _("not known"),
    "in sync": _("in sync"),
    "not in sync": _("not in sync"),
    "lost": _("nothing is heard of it"),
    "draining": _("draining"),
}
"""By the word of `sidegate.topology.states`; those of connections are also what the HTTPS API calls them."""


@dataclass(frozen=True, slots=True)
class State:
    """`key` is the word for programs and tests, `word` is the one for people; `reason` is why it is not well."""

    key: str
    tone: Tone
    reason: str = ""

    @property
    def word(self) -> str:
        return said(self.key)


def said(key: str) -> str:
    """A word of the topology in the language of the moment; itself where it is none."""
    return gettext(WORDS[key]) if key in WORDS else key


def of(thing: Endpoint | Connection | EndpointService) -> State:
    match thing:
        case Endpoint():
            return State(*states.of_endpoint(thing))
        case Connection():
            return State(*states.CONNECTIONS.get(thing.state, states.UNKNOWN), thing.rejection)
        case _:
            return State(*states.SERVICES.get(thing.state, states.UNKNOWN))
