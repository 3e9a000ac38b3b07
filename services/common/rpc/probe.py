"""Asks a program how it is: `python -m services.common.rpc.probe HOST:PORT [SERVICE]`, exit code 0 for a healthy one.

Without a service it is asked whether it can do what it is for; `liveness` asks whether it runs at all.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2

DEADLINE_SECONDS = 3.0


def is_healthy(address: str, service: str = "") -> bool:
    with grpc.insecure_channel(address) as channel:
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


if __name__ == "__main__":
    sys.exit(0 if len(sys.argv) in (2, 3) and is_healthy(*sys.argv[1:]) else 1)
