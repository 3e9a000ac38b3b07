"""Asks a program how it is: `python -m services.common.rpc.probe HOST:PORT [SERVICE]`, exit code 0 for a healthy one.

Without a service it is asked whether it can do what it is for; `liveness` asks whether it runs at all. The program's
certificate is verified with the authority in the directory that SIDEGATE_TLS names, as for the program itself.
"""

import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from services.common.identity.pki import CA_FILE

DEADLINE_SECONDS = 3.0


def is_healthy(address: str, service: str = "", *, ca: bytes | None = None) -> bool:
    """`ca` (PEM) is what the program's certificate is verified with; a unix socket has none."""
    with _channel(address, ca) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(address: str, ca: bytes | None) -> grpc.Channel:
    if address.startswith("unix:"):
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca))


def _ca() -> bytes | None:
    directory = os.environ.get("SIDEGATE_TLS")
    return (Path(directory) / CA_FILE).read_bytes() if directory else None


if __name__ == "__main__":
    sys.exit(0 if len(sys.argv) in (2, 3) and is_healthy(*sys.argv[1:], ca=_ca()) else 1)
