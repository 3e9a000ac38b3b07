"""Signed heads that somebody has kept elsewhere: read from what he pastes, and held against the keys that he names."""

import re
from collections.abc import Mapping, Sequence

from services.console.pages.problems import Problem, at_fault
from services.console.pages.words import gettext as _
from services.console.past.proving import Head
from sidegate.signed_heads import NotAHead, NotAKey, PublicKey, SignedHead, read_head

PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


class Unbelievable(Exception):
    """What was pasted proves nothing."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def read(heads: str, keys: str) -> Sequence[SignedHead]:
    """The heads, each with a good signature of one of the keys. Raises Unbelievable."""
    found = [_head(number, line) for number, line in enumerate(heads.splitlines(), 1) if line.strip()]
    known = _keys(keys)
    if found and not known:
        raise Unbelievable(at_fault("keys", _("Heads prove nothing without the key that they are signed with.")))
    for head in found:
        if head.key_id not in known or not known[head.key_id].signed(head):
            text = _("The head at position %(position)s is signed by none of these keys.", position=head.position)
            raise Unbelievable(at_fault("heads", text))
    return found


def of_log(kept: Sequence[SignedHead], head: Head) -> Mapping[int, bytes]:
    """What they say of a log: position to hash. Raises Unbelievable for heads of another log of that name."""
    ours = [each for each in kept if each.log == head.log.value]
    if any(each.log_id != head.log_id for each in ours):
        raise Unbelievable(at_fault("heads", _("A head is of another log: this one was made anew since.")))
    return {each.position: each.link.hash for each in ours}


def _head(number: int, line: str) -> SignedHead:
    try:
        return read_head(line.strip().encode() + b"\n")
    except NotAHead as error:
        raise Unbelievable(at_fault("heads", _("Line %(number)s is no signed head.", number=number))) from error


def _keys(text: str) -> Mapping[str, PublicKey]:
    try:
        found = [PublicKey.read(pem.encode()) for pem in PEM.findall(text)]
    except NotAKey as error:
        raise Unbelievable(at_fault("keys", _("This is no public key."))) from error
    if text.strip() and not found:
        raise Unbelievable(at_fault("keys", _("This is no public key.")))
    return {key.id: key for key in found}
