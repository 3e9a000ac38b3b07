"""From what people type to an id: an id as it is, a name of their own, or the beginning of an id."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sidegate import errors
from sidegate.cli.outcome import Complaint, Exit
from sidegate.client import Client

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
BEGINNING = re.compile(r"[0-9a-fA-F-]{8,35}")


@dataclass(frozen=True, slots=True)
class Candidate:
    id: str
    name: str = ""


async def vpc(sidegate: Client, word: str) -> str:
    return await _resolve("vpc", word, (Candidate(each.id, each.name) async for each in sidegate.vpcs.list()))


async def subnet(sidegate: Client, word: str) -> str:
    return await _resolve("subnet", word, (Candidate(each.id, each.name) async for each in sidegate.subnets.list()))


async def route_table(sidegate: Client, word: str, vpc_id: str = "") -> str:
    """Names are unique in a VPC: each has one that is called default."""
    found = sidegate.route_tables.list(vpc_id)
    return await _resolve("route table", word, (Candidate(each.id, each.name) async for each in found))


async def port(sidegate: Client, word: str) -> str:
    return await _resolve("port", word, (Candidate(each.id) async for each in sidegate.ports.list()))


async def attachment(sidegate: Client, word: str) -> str:
    return await _resolve("attachment", word, (Candidate(each.id) async for each in sidegate.attachments.list()))


async def service(sidegate: Client, word: str) -> str:
    return await _resolve("service", word, (Candidate(each.id, each.name) async for each in sidegate.services.list()))


async def connectable(sidegate: Client, word: str) -> str:
    """A service of anybody's: what is a full name goes to the server as it stands."""
    return word if "." in word else await service(sidegate, word)


async def endpoint(sidegate: Client, word: str) -> str:
    return await _resolve("endpoint", word, (Candidate(each.id, each.name) async for each in sidegate.endpoints.list()))


async def connection(sidegate: Client, service_id: str, word: str) -> str:
    """An endpoint among a service's connections; by name only where the endpoint is the caller's own too."""
    if UUID.fullmatch(word):
        return word.lower()
    names = {each.id: each.name async for each in sidegate.endpoints.list()}
    connections = sidegate.connections.list(service_id)
    candidates = (Candidate(each.endpoint_id, names.get(each.endpoint_id, "")) async for each in connections)
    return await _resolve("connection", word, candidates)


async def _resolve(kind: str, word: str, candidates: AsyncIterator[Candidate]) -> str:
    if UUID.fullmatch(word):
        return word.lower()
    known = [each async for each in candidates]
    return pick(kind, word, known)


def pick(kind: str, word: str, candidates: Sequence[Candidate]) -> str:
    """The one candidate of that name, else the one whose id begins so."""
    found = [each for each in candidates if each.name and each.name == word]
    if not found and BEGINNING.fullmatch(word):
        found = [each for each in candidates if each.id.startswith(word.lower())]
    if not found:
        raise errors.NotFound(f"{kind} {word} is not there", reason="NOT_FOUND", metadata={"kind": kind})
    if len(found) > 1:
        raise Complaint(f"{word} may be any of {len(found)} {kind}s", Exit.USAGE, f"give one of {_ids(found)}")
    return found[0].id


def _ids(candidates: Sequence[Candidate]) -> str:
    return ", ".join(each.id for each in candidates)
