"""What backends are to learn of clients, in the words of the command line."""

from enum import StrEnum

from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService


class Identity(StrEnum):
    """What backends are to learn of clients."""

    NONE = "none"
    TOA = "toa"
    PROXY = "proxy"
    TOA_PROXY = "toa+proxy"
    PROXY_MARKER = "proxy+marker"


IDENTITIES = dict(zip(Identity, EndpointService.ClientIdentity.values()[1:], strict=True))
WORDS = {number: identity.value for identity, number in IDENTITIES.items()}
