"""What the services say of an endpoint in words of their own, in the reader's language.

The contract gives why packets do not pass, and the steps of tests and traces, as English sentences without a reason for
programs. Each that there is stands here, with its values by name; one that does not is shown as it came.
"""

import re
from collections.abc import Sequence
from functools import cache

from services.console.pages.words import gettext
from services.console.pages.words import marked as _

STATES = (
    _("the service's owner has yet to accept it"),
    _("the service's owner rejected it"),
    _("it is being deleted"),
    _("the connection is accepted"),
    _("the connection is approved, and gateways are about to carry it"),
    _("it was not decided in time"),
    _("it was accepted until now"),
    _("the permission to connect was removed"),
    _("service deleted"),
    _("its gateways did not forward it within %(seconds)s s"),
    _("it has failed: %(reason)s"),
)

READINESS = (
    _("a gateway cannot set it up yet"),
    _("a gateway has not heard of the service yet"),
    _("a gateway is starting the proxy anew that tells backends of the service who a client is"),
    _(
        "a gateway lacks HAProxy, which tells backends of the service who a client is: its operator must install the "
        "package haproxy there"
    ),
    _("backends of the service cannot be reached from a gateway"),
    _("backends of the service do not answer a gateway"),
    _("backends of the service fail their health checks"),
    _("its VPC cannot be reached from a gateway"),
    _("the service takes no new connections at present"),
    _("this gateway has no source address for it yet"),
    _("a gateway is not ready to carry it"),
    _("no gateway is there to carry it"),
    _("its gateways have yet to confirm it"),
)

SOURCES = (
    _("it is being given more source addresses"),
    _("no source address is free for more sessions: new ones may be refused"),
    _("it has as many source addresses as there can be: new sessions may be refused"),
)

NAMES = (
    _("its VPC has no resolver: `sidegate vpc resolver set %(vpc)s --subnet SUBNET` makes one"),
    _("its names are answered when packets pass: %(reason)s"),
)

STEPS = (
    _("no gateway forwards it in this state"),
    _("no gateway that has it has answered"),
    _("%(address)s is reserved for it in its subnet"),
    _("its route tables lead %(prefixes)s to it"),
    _("the one gateway of its cell did not answer"),
    _("%(silent)s of %(joined)s gateways of its cell did not answer"),
    _("a gateway has yet to take in its last change"),
    _("the one gateway of its cell carries it as of generation %(generation)s, position %(position)s"),
    _("the %(joined)s gateways of its cell carry it as of generation %(generation)s, position %(position)s"),
    _("a gateway does not answer for %(address)s in its VPC, or does not reach it"),
    _("another machine in its VPC (%(mac)s) says that %(address)s is its own"),
    _("%(address)s is answered for in its VPC"),
    _("the service has no backend"),
    _("the service's backend takes connections"),
    _("the service's backend is there; whether UDP is answered cannot be told from here"),
    _("the service's backend ended the connection when it was told of the client: its owner must put that right"),
    _("the service's backend refused"),
    _("the service's backend refused on some of its ports"),
    _("no backend of the service answers"),
    _("no backend of the service answers on some of its ports"),
)

PASSAGE = (
    _("it is forwarded"),
    _("no session opens: it is cut, or drains"),
    _("its whitelist has %(source)s"),
    _("its whitelist does not have %(source)s"),
    _("its policy allows %(address)s"),
    _("its policy denies %(protocol)s port %(port)s of %(address)s"),
    _("the service publishes %(protocol)s port %(port)s"),
    _("the service does not publish %(protocol)s port %(port)s"),
    _("the service takes new sessions"),
    _("the service takes no new session from it now"),
    _("a gateway of its cell did not answer"),
    _("a gateway of its cell cannot tell"),
)

ALL: Sequence[str] = (*STATES, *READINESS, *SOURCES, *NAMES, *STEPS, *PASSAGE)
VALUE = re.compile(r"%\\\((\w+)\\\)s|%\((\w+)\)s")


def said(text: str) -> str:
    """A sentence of the services in the language of the moment; itself where it is none that is known."""
    for pattern, sentence in _patterns():
        if found := pattern.fullmatch(text):
            values = {name: said(value) if name == "reason" else value for name, value in found.groupdict().items()}
            return gettext(sentence, **values)
    return text


@cache
def _patterns() -> Sequence[tuple[re.Pattern[str], str]]:
    """The more of a sentence is fixed, the earlier it is tried."""
    ordered = sorted(ALL, key=lambda sentence: len(VALUE.findall(sentence)))
    return [(re.compile(VALUE.sub(_group, re.escape(sentence)), re.DOTALL), sentence) for sentence in ordered]


def _group(found: re.Match[str]) -> str:
    return f"(?P<{found[1] or found[2]}>.+)"
