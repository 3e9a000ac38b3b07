"""Etags of what shares its stream with others: made of what it says, so that they change with nothing else."""

import hashlib
from typing import TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)
BYTES = 7
"""A number of them fits wherever versions do."""


def revision_of(message: Message) -> int:
    """A number for what a resource says; nobody is asked to count."""
    said = type(message)()
    said.CopyFrom(message)
    said.ClearField("etag")
    digest = hashlib.sha256(said.SerializeToString(deterministic=True)).digest()
    return int.from_bytes(digest[:BYTES])


def stamped(message: M) -> M:
    """The same resource, now with its etag."""
    message.etag = str(revision_of(message))  # type: ignore[attr-defined] # those that are stamped have one
    return message
