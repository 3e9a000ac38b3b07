"""Two accounts that have one of everything, each with words and addresses of its own, and a third that has nothing."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.account_pb2 import ROLE_VIEWER
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from sidegate.credentials import Credential
from tests.support.standalone import Standalone
from tests.support.world import tcp

HOSTILE = "\"' onmouseover=alert(1) {{7*7}} ${7*7} &lt;script&gt;alert(1)&lt;/script&gt;"


@dataclass
class Neighbour:
    """`ids` are by kind; `secrets` is what no other account may be shown."""

    key: Credential
    client: Client
    network: str
    ids: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    @property
    def account(self) -> str:
        return self.key.account

    async def settle(self, operator: Client) -> None:
        """VPC, subnet, port, route table."""
        mark, net, client = f"z{self.account}", self.network, self.client
        vpc = await client.vpcs.create(
            f"{mark}-vpc", [f"{net}.0.0/16"], description=f"{mark} {HOSTILE}", tags=[Tag(key="k", value=f"{mark}-tag")]
        )
        subnet = await client.subnets.create(f"{mark}-subnet", vpc.id, f"{net}.3.0/24", description=HOSTILE)
        port = await client.ports.create(subnet.id, f"machine/{mark}-machine", f"{net}.3.77")
        table = await client.route_tables.create(f"{mark}-table", vpc.id, description=HOSTILE)
        await operator.attachments.create(vpc.id, NetnsTarget(namespace=mark))
        self.ids |= {"vpc": vpc.id, "subnet": subnet.id, "port": port.id, "table": table.id}
        self.secrets += [mark, f"{net}.", *self.ids.values()]

    async def state(self) -> Mapping[str, object]:
        """All that it has."""
        client, found = self.client, dict[str, object]()
        for kind in ("vpcs", "subnets", "ports", "route_tables", "services", "endpoints"):
            found[kind] = {
                each.id: each.SerializeToString(deterministic=True) async for each in getattr(client, kind).list()
            }
        if service := self.ids.get("service"):
            found["connections"] = [_settled(each) async for each in client.connections.list(service)]
        found["endpoints"] = {each.id: _settled(each) async for each in client.endpoints.list()}
        return found


def _settled(thing: object) -> str:
    """Without what gateways tell, who go on telling."""
    return "\n".join(line for line in str(thing).splitlines() if not line.lstrip().startswith(("seconds", "nanos")))


@dataclass
class Neighbours:
    """`provider` has a service, of which `consumer` has an endpoint; `viewer` reads the provider's things."""

    provider: Neighbour
    consumer: Neighbour
    stranger: Credential
    viewer: Credential
    endpoint: Endpoint

    def hidden_from(self, key: Credential) -> list[str]:
        """What somebody with this key must not be shown."""
        provider, consumer = self.provider, self.consumer
        if key.account == provider.account:
            return consumer.secrets
        if key.account == consumer.account:
            return provider.secrets
        known = [provider.ids["service"], consumer.ids["endpoint"], provider.account, consumer.account]
        return [*provider.secrets, *consumer.secrets, *known]


@asynccontextmanager
async def neighbours(sidegate: Standalone, tenant: Callable[[str], Credential]) -> AsyncIterator[Neighbours]:
    keys = [tenant("bank"), tenant("shop"), tenant("spy")]
    async with AsyncExitStack() as stack:
        operator = await stack.enter_async_context(sidegate.client("operator"))
        clients = [await stack.enter_async_context(sidegate.client(key.account)) for key in keys[:2]]
        provider, consumer = Neighbour(keys[0], clients[0], "10.171"), Neighbour(keys[1], clients[1], "10.172")
        for each in (provider, consumer):
            await each.settle(operator)
        endpoint = await _connect(provider, consumer)
        made = await operator.accounts.create_key(provider.account, "default", ROLE_VIEWER)
        viewer = replace(provider.key, access_key=made.key.id, secret_key=made.secret_key)
        yield Neighbours(provider, consumer, keys[2], viewer, endpoint)


async def _connect(provider: Neighbour, consumer: Neighbour) -> Endpoint:
    mark = f"z{provider.account}"
    service = await provider.client.services.create(
        "ledger",
        provider.ids["vpc"],
        [Backend(port_id=provider.ids["port"])],
        [tcp(443, 8443)],
        approval_required=True,
        description=HOSTILE,
        tags=[Tag(key="team", value=f"{mark}-team")],
    )
    await provider.client.services.permit(service.id, [f"iam:domain::{consumer.account}", f"iam:domain::{mark}-friend"])
    theirs = f"z{consumer.account}"
    endpoint = await consumer.client.endpoints.create(
        service.full_name,
        consumer.ids["subnet"],
        name=f"{theirs}-endpoint",
        description=HOSTILE,
        tags=[Tag(key="k", value=f"{theirs}-tag")],
        allowed_cidrs=["10.172.3.64/26"],
        whitelist=Endpoint.WHITELIST_ENABLED,
    )
    await provider.client.connections.note(service.id, endpoint.id, f"{mark} {HOSTILE}"[:128])
    provider.ids["service"], consumer.ids["endpoint"] = service.id, endpoint.id
    return endpoint
