"""The names of endpoints: their own, and their services' at the time."""

from services.common.errors import AlreadyExists
from services.common.eventsourcing.store import AlreadyClaimed, EventStore
from services.endpoint.application.registry import PublishedService, Registry
from services.endpoint.domain.names import DNS_NAME, name_of, names_of
from services.endpoint.wire.stored import ENDPOINT_STREAM


class Names:
    """`zone` is in which every endpoint with DNS has a name of its own."""

    def __init__(self, store: EventStore, registry: Registry, zone: str) -> None:
        self._store, self._registry, self._zone = store, registry, zone

    def of(self, endpoint: str, service: PublishedService) -> tuple[str, ...]:
        """None of an endpoint that is reached by routes: it has no address to be answered with."""
        return () if service.public_prefixes else names_of(endpoint, self._zone, service.private_name)

    async def of_now(self, endpoint: str, service: str) -> tuple[str, ...]:
        """With the name that the registry says the service has now."""
        found = (await self._registry.sources([service], ())).services.get(service)
        return self.of(endpoint, found) if found else names_of(endpoint, self._zone, "")

    async def explain(self, clash: AlreadyClaimed) -> None:
        """Raises AlreadyExists where another endpoint of the VPC answers to a name."""
        claim = clash.claim
        if claim.kind != DNS_NAME:
            return
        holder = (await self._store.holders(claim.kind, claim.key)).get(claim.key, "")
        other = holder.removeprefix(ENDPOINT_STREAM)
        text = f"endpoint {other or 'of before'} of the VPC answers to {name_of(claim)}: ask for this one without DNS"
        way_out = f"`sidegate endpoint update {other} --no-dns` frees the name" if other else "or try again"
        blockers = [other] if other else []
        raise AlreadyExists("DNS_NAME_TAKEN", f"{text}; {way_out}", field="endpoint.dns_enabled", blockers=blockers)
