"""What there is to choose for a new endpoint: services, networks of the project, and what would come of it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from services.console.endpoints.fields import tags_of, whitelist_of
from services.console.pages.forms import Typed
from services.console.pages.problems import Problem, problem_of
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import ConnectableService, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import RouteTable, Subnet, Vpc
from sidegate.client import Client
from sidegate.conditions import under

MOST_OFFERED = 50


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that may be meant."""

    id: str
    full_name: str


@dataclass(frozen=True, slots=True)
class Choices:
    """`service` is the one that is meant, where there is one; else `offers` are those that may be.

    `vpc` and `subnet` are ids, empty where they are still to be chosen. `foreseen` is the endpoint that would be made,
    `problem` is why none would.
    """

    service: ConnectableService | None = None
    offers: Sequence[Offer] = ()
    vpcs: Sequence[Vpc] = ()
    vpc: str = ""
    subnets: Sequence[Subnet] = ()
    subnet: str = ""
    tables: Sequence[RouteTable] = ()
    foreseen: Endpoint | None = None
    problem: Problem | None = None

    @property
    def by_routes(self) -> bool:
        return self.service is not None and self.service.service_type == EndpointService.SERVICE_TYPE_GATEWAY

    @property
    def is_ipv6(self) -> bool:
        return self.service is not None and self.service.ip_version == EndpointService.IP_VERSION_IPV6

    @property
    def vpc_options(self) -> list[tuple[str, str]]:
        return [(each.id, f"{each.name} ({', '.join(each.cidrs)})") for each in self.vpcs]

    @property
    def subnet_options(self) -> list[tuple[str, str]]:
        return [(each.id, f"{each.name} ({each.cidr})") for each in self.subnets]


async def choices_of(client: Client, form: Typed) -> Choices:
    """As far as the form has come. Raises SidegateError where it cannot be known."""
    service, offers = await find(client, form.text("service"))
    vpcs = [vpc async for vpc in client.vpcs.list()]
    vpc = _chosen(form.text("vpc_id"), [each.id for each in vpcs])
    so_far = Choices(service, offers, vpcs, vpc)
    if service is None or not vpc:
        return so_far
    if so_far.by_routes:
        tables = [table async for table in client.route_tables.list(vpc)]
        return await _foreseen(client, form, replace(so_far, tables=tables))
    version = 6 if so_far.is_ipv6 else 4
    subnets = [each async for each in client.subnets.list(vpc) if ip_network(each.cidr).version == version]
    subnet = _chosen(form.text("subnet_id"), [each.id for each in subnets])
    found = replace(so_far, subnets=subnets, subnet=subnet)
    return await _foreseen(client, form, found) if subnet else found


async def find(client: Client, said: str) -> tuple[ConnectableService | None, Sequence[Offer]]:
    """The service of this id, full name or, where it is the only one that can be listed, part of a name."""
    if not said:
        return None, ()
    try:
        return await client.services.lookup(said), ()
    except (errors.NotFound, errors.InvalidRequest):
        offers = await offered(client, said)
    exact = [each for each in offers if f".{said.lower()}." in each.full_name.lower()]
    only = exact if len(exact) == 1 else offers
    if len(only) == 1:
        return await client.services.lookup(only[0].id), ()
    return None, offers


async def offered(client: Client, part: str) -> Sequence[Offer]:
    """Services with this in their name that may be listed: the project's own, and the operator's.

    Others are nobody's to list: who may connect to them has heard of their id or full name.
    """
    if len(part) > 63:
        return ()
    found: dict[str, Offer] = {}
    for listing in (_own(client, part), _of_platform(client, part)):
        async for offer in listing:
            found[offer.id] = offer
            if len(found) >= MOST_OFFERED:
                break
    return list(found.values())


async def make(client: Client, form: Typed, choices: Choices, request_id: str = "") -> Endpoint:
    """Requests it as the form says. Raises SidegateError."""
    assert choices.service is not None  # noqa: S101 # it is asked for only then
    return await client.endpoints.create(
        choices.service.id,
        "" if choices.by_routes else choices.subnet,
        vpc_id=choices.vpc,
        address="" if choices.by_routes else form.text("address"),
        route_tables=[each for each in form.all("route_tables") if each] if choices.by_routes else (),
        allowed_cidrs=() if choices.by_routes else form.list("allowed_cidrs"),
        whitelist=Endpoint.WHITELIST_UNSPECIFIED if choices.by_routes else whitelist_of(form),
        name=form.text("name"),
        description=form.text("description"),
        tags=tags_of(form.text("tags")),
        policy=form.text("policy"),
        dns_enabled=form.checked("dns_enabled") and not choices.by_routes,
        request_id=request_id,
    )


async def _foreseen(client: Client, form: Typed, choices: Choices) -> Choices:
    try:
        with under(validate_only=True):
            return replace(choices, foreseen=await make(client, form, choices))
    except errors.SidegateError as error:
        return replace(choices, problem=problem_of(error))


async def _own(client: Client, part: str) -> AsyncIterator[Offer]:
    async for service in client.services.list(name_contains=part, states=[EndpointService.STATE_AVAILABLE]):
        yield Offer(service.id, service.full_name)


async def _of_platform(client: Client, part: str) -> AsyncIterator[Offer]:
    async for service in client.services.list_platform(full_name_contains=part):
        yield Offer(service.id, service.full_name)


def _chosen(said: str, there: Sequence[str]) -> str:
    """What was chosen, if it is there; else the only one there is."""
    return said if said in there else there[0] if len(there) == 1 else ""
