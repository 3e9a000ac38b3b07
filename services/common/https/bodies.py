"""A request's body, read whole before anything is done with it."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope


class Gone(Exception):
    """The client went away before its request was whole."""


class TooLarge(Exception):
    """The text says how large a body may be."""


class TooSlow(Exception):
    """The text says how long a body may take."""


async def whole(scope: Scope, receive: Receive, most: int, seconds: float) -> bytes:
    """The body, of up to `most` bytes. Raises TooLarge, TooSlow and Gone."""
    too_large = TooLarge(f"A body has up to {most} bytes.")
    declared = Headers(scope=scope).get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise Gone
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise TooSlow(f"The body did not come within {seconds:g} seconds.") from None
    return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body again, and then what really comes: that the client goes away."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
