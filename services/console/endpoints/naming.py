"""What an endpoint is called where people read of it."""

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint


def called(endpoint: Endpoint) -> str:
    """Its name, or, without one, its id."""
    return endpoint.name or endpoint.id
