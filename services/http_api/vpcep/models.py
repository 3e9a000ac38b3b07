"""Bodies of the VPCEP API that are small, and what all of them have in common."""

from pydantic import BaseModel


class Link(BaseModel):
    href: str
    type: str = "application/json"
    rel: str = "self"


class Version(BaseModel):
    id: str
    status: str = "CURRENT"
    version: str
    min_version: str = ""
    updated: str
    links: list[Link]


class VersionsAnswer(BaseModel):
    versions: list[Version]


class VersionAnswer(BaseModel):
    version: Version
