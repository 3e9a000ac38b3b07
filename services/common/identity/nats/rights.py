"""What each kind of user of NATS may say and hear: everything else the server refuses. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

UNLIMITED = -1
STREAMS = "$JS.API.STREAM"
CONSUMERS = "$JS.API.CONSUMER"

ADMINISTRATION = (
    *(f"{STREAMS}.{verb}" for verb in ("LIST", "NAMES")),
    *(f"{STREAMS}.{verb}.*" for verb in ("CREATE", "UPDATE", "DELETE", "INFO", "MSG.GET")),
    f"{CONSUMERS}.LIST.*",
    *(f"{CONSUMERS}.{verb}.*.*" for verb in ("DURABLE.CREATE", "DELETE", "INFO", "MSG.NEXT")),
    f"{CONSUMERS}.CREATE.*.*.>",
    f"{CONSUMERS}.CREATE.*.*",
)
"""Streams and consumers: the control plane's alone. Nobody may purge, nor delete single messages, nor snapshot.

A part of a name cannot be matched (`EP-*`), so this is not split between the two services.
"""

ASKED_OF_CONSUMERS = ("MSG.NEXT", "RESET")
"""What a reader may ask of its consumer. Not INFO: the server answers it in the streams' own account alone, and what
RESET is answered with tells the same."""

LOOK_UP_CLAIMS, UPDATE_CLAIMS = "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", "$SYS.REQ.CLAIMS.UPDATE"
"""Where the server is asked, and told anew, what the operator says of an account."""

REQUEST_BYTES = 4096
GATEWAY, SUBSCRIBER = "gw-", "sub-"
"""What the names of their consumers begin with."""


@dataclass(frozen=True, slots=True)
class Rights:
    """The subjects that a user may say something on, and those that it hears."""

    says: Sequence[str]
    hears: Sequence[str]
    subscriptions: int = UNLIMITED
    payload: int = UNLIMITED


def inbox(user: str) -> str:
    """What stands before the subjects of answers to a user."""
    return f"_INBOX_{user}"


def registry(own_account: str = "*") -> Rights:
    """The registry, which also revokes the users of one account."""
    own = ("registry.v1.>", "sidegate.v1.*.service.*", "sidegate.filler.registry", "head.v1.registry")
    claims = (LOOK_UP_CLAIMS.replace("*", own_account), UPDATE_CLAIMS)
    return Rights((*own, *ADMINISTRATION, *claims), (f"{inbox('registry')}.>",))


def endpoint() -> Rights:
    views = (*(f"sidegate.v1.*.{kind}.*" for kind in ("endpoint", "connection", "flow")), "sidegate.filler.endpoint")
    return Rights(("endpoint.v1.>", *views, "head.v1.endpoint", *ADMINISTRATION), (f"{inbox('endpoint')}.>",))


def reader(consumer: str) -> Rights:
    """Who reads what one consumer delivers, which the control plane has made, and moves it: nothing else."""
    asked = [f"{CONSUMERS}.{verb}.*.{consumer}" for verb in ASKED_OF_CONSUMERS]
    return Rights((*asked, f"$JS.ACK.*.{consumer}.>"), (f"{inbox(consumer)}.>",), 10, REQUEST_BYTES)


def gateway(cell: str, gateway_id: str) -> str:
    """The consumer of a gateway, and its user's name: of this gateway in this cell, and in no other."""
    return f"{GATEWAY}{cell}_{gateway_id}"


def subscriber(credential: str) -> str:
    """The consumers of a project's subscriber, one in each stream of views, and its user's name."""
    return f"{SUBSCRIBER}{credential}"
