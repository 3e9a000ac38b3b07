"""What all bodies of the VPCEP API have in common, and those that are small."""

import re
from datetime import UTC
from typing import Annotated, Any, Literal

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME = re.compile(r"[A-Za-z0-9_-]{0,16}")


class Body(BaseModel):
    """What a client sends. Keys that are unknown are ignored, as clients of other versions expect."""

    model_config = ConfigDict(extra="ignore")


class Answer(BaseModel):
    """What a client gets: booleans are booleans, lists are lists, and none of them is null."""


def _empty_is_none(value: Any) -> Any:  # noqa: ANN401 # whatever was sent
    return None if value == "" else value


Optionally = BeforeValidator(_empty_is_none)
"""Clients say an empty text where they mean nothing."""

IpVersion = Literal["ipv4", "ipv6"]

Limit = Annotated[int, Field(ge=0, le=1000, description="How many at most")]
Offset = Annotated[int, Field(ge=0, le=2**31 - 1, description="How many are left out before")]


class TagBody(Body):
    key: Annotated[str, Field(max_length=128)]
    value: Annotated[str, Field(max_length=255)] = ""


class Tag(Answer):
    key: str
    value: str


class Link(Answer):
    href: str
    type: str = "application/json"
    rel: str = "self"


class Version(Answer):
    id: str
    status: str = "CURRENT"
    version: str
    min_version: str = ""
    updated: str
    links: list[Link]


class VersionsAnswer(Answer):
    versions: list[Version]


class VersionAnswer(Answer):
    version: Version


class EndpointError(Answer):
    """Why an endpoint or a connection failed."""

    error_code: str
    error_message: str


class ServiceError(Answer):
    """Why a service failed, under the names that each of the clients knows."""

    code: str
    message: str
    error_code: str
    error_message: str


def moment(stamp: Timestamp) -> str:
    """A time as the API writes it: UTC, whole seconds."""
    return f"{stamp.ToDatetime(UTC):%Y-%m-%dT%H:%M:%SZ}"
