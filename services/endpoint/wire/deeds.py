"""What has happened in the endpoint service, in words: everything to operators, to each side what it watches."""

from collections.abc import Sequence

from services.common.eventsourcing.store import RecordedEvent
from services.common.history.deeds import Happening
from services.common.watching.sight import OPERATORS, Sight
from services.endpoint.wire.sights import CONNECTION, ENDPOINT, PROVIDERS_OWN, WORDS
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent


def happenings_of(event: RecordedEvent) -> Sequence[Sight[Happening]]:
    stored = EndpointEvent.FromString(event.data)
    fact = stored.WhichOneof("fact") or ""
    if fact not in WORDS:
        return (_of_the_platform(event, stored, fact),)
    seen, placement, word = stored.endpoint, stored.placement, WORDS[fact]
    mine = Happening(word, ENDPOINT, seen.id, seen.name or seen.address)
    theirs = Happening(word, CONNECTION, seen.id)
    told = [Sight(frozenset({OPERATORS}), ENDPOINT, seen.id, mine)]
    if fact not in PROVIDERS_OWN:
        told.append(Sight(frozenset({f"{seen.account}/{seen.project}"}), ENDPOINT, seen.id, mine))
    provider = frozenset({f"{placement.provider_account}/{placement.provider_project}"})
    return (*told, Sight(provider, CONNECTION, seen.id, theirs))


def _of_the_platform(event: RecordedEvent, stored: EndpointEvent, fact: str) -> Sight[Happening]:
    match fact:
        case "service_forwarding_changed":
            told = Happening(fact, "service", stored.forwarding.service.service_id)
        case "attachment_changed":
            told = Happening(fact, "vpc", stored.forwarding.attachment.vpc_id)
        case "resolver_changed":
            told = Happening(fact, "vpc", stored.forwarding.resolver.vpc_id)
        case "gateway_joined" | "gateway_lost" | "gateway_retired":
            told = Happening(fact, "gateway", getattr(stored, fact).gateway_id)
        case _:
            kind, _, id_ = event.stream.partition("-")
            told = Happening(fact or event.type, kind, id_)
    return Sight(frozenset({OPERATORS}), told.kind, told.id, told)
