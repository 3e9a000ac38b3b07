"""Channels to programs, and one whose credentials may change while it is used."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import grpc

LARGEST_ANSWER_BYTES = 256 * 1024 * 1024  # the whole table of a gateway comes in one

# Only what was certainly not answered is tried again; a request id makes that safe for writes too.
RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS = (
    ("grpc.service_config", json.dumps(RETRIES)),
    ("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Left to itself, a channel looks for a program that was away for long only every two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # An address is dialled as it stands: a proxy for the web is not one for the control plane.
    ("grpc.enable_http_proxy", 0),
)

Credentials = grpc.ChannelCredentials | Callable[[], grpc.ChannelCredentials] | None
"""What a channel is secured with: nothing (a unix socket), always the same, or what is asked for at each call."""


def channel_to(address: str, credentials: Credentials) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    if isinstance(credentials, grpc.ChannelCredentials):
        return grpc.aio.secure_channel(address, credentials, options=OPTIONS)
    return cast(grpc.aio.Channel, RenewedChannel(address, credentials))


class RenewedChannel:
    """What stubs need of a channel. Where its credentials are others than before, calls go over a new connection.

    Calls that are under way keep theirs: who was believed when it was made stays so.
    """

    def __init__(self, address: str, credentials: Callable[[], grpc.ChannelCredentials]) -> None:
        self._address, self._credentials = address, credentials
        self._used = credentials()
        self._channels = [channel_to(address, self._used)]

    def unary_unary(self, *arguments: object, **options: object) -> "Method":
        return Method(self, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: object, **options: object) -> "Method":
        return Method(self, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: object, **options: object) -> "Method":
        return Method(self, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: object, **options: object) -> "Method":
        return Method(self, "stream_stream", arguments, options)

    def current(self) -> grpc.aio.Channel:
        if (now := self._credentials()) is not self._used:
            self._used = now
            self._channels.append(channel_to(self._address, now))
        return self._channels[-1]

    async def close(self, grace: float | None = None) -> None:
        for channel in self._channels:
            await channel.close(grace)


class Method:
    """A method of whatever channel there is when it is called."""

    def __init__(
        self, owner: RenewedChannel, kind: str, arguments: Sequence[object], options: Mapping[str, object]
    ) -> None:
        self._owner, self._kind, self._arguments, self._options = owner, kind, arguments, options
        self._channel: grpc.aio.Channel | None = None
        self._made: Callable[..., object] | None = None

    def __call__(self, *arguments: object, **options: object) -> object:
        channel = self._owner.current()
        if self._made is None or channel is not self._channel:
            self._channel = channel
            self._made = getattr(channel, self._kind)(*self._arguments, **self._options)
        return self._made(*arguments, **options)
