"""The registry's past is what Get and List showed then, whatever has happened since, with snapshots and without."""

import random
from collections.abc import Mapping, Sequence

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.etags import stamped
from services.common.history.history import History
from services.common.history.keeper import SnapshotKeeper
from services.registry.application.past import PAST
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.client import Client
from sidegate.resources.history import When
from sidegate.resources.logs import LogName
from tests.support.identity import Known
from tests.support.registry_service import PAYMENTS, RegistryWorld, running_registry
from tests.support.registry_story import STEPS, Story, attempt
from tests.support.stores import LOGS

STORY = 50

Resource = vpc_pb2.Vpc | vpc_pb2.Subnet | vpc_pb2.Port | vpc_pb2.RouteTable | EndpointService
Lists = Mapping[tuple[str, str], Resource]


async def listed(world: RegistryWorld) -> Lists:
    """All that a project is shown of what it has."""
    ask, stub = world.payments.ask, world.payments.stub
    lists: dict[str, Sequence[Resource]] = {
        "vpc": (await ask(stub.ListVpcs, registry_pb2.ListVpcsRequest())).vpcs,
        "subnet": (await ask(stub.ListSubnets, registry_pb2.ListSubnetsRequest())).subnets,
        "port": (await ask(stub.ListPorts, registry_pb2.ListPortsRequest())).ports,
    }
    services = await ask(stub.ListEndpointServices, registry_pb2.ListEndpointServicesRequest())
    lists["service"] = services.endpoint_services
    tables = await ask(stub.ListRouteTables, registry_pb2.ListRouteTablesRequest())
    lists["route_table"] = [_as_kept(table) for table in tables.route_tables]
    return {(kind, each.id): each for kind, found in lists.items() for each in found}


def _as_kept(table: vpc_pb2.RouteTable) -> vpc_pb2.RouteTable:
    """No event has the subnets of a default table: they are those that no other has."""
    if not table.by_default:
        return table
    table.ClearField("subnet_ids")
    return stamped(table)


async def remembered(operator: Client, when: When) -> Lists:
    state = await operator.history.project(LogName.REGISTRY, PAYMENTS.account, PAYMENTS.project, when)
    return {(each.kind, each.id): getattr(each, each.kind) for each in state.states}


@pytest.mark.parametrize("database", LOGS)
async def test_a_project_at_any_position_is_what_lists_showed_it_then(
    tmp_path_factory: pytest.TempPathFactory, database: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, directory = random.Random(seed), tmp_path_factory.mktemp("registry")
    with LOGS[database](directory) as where:
        async with running_registry(directory, where=where) as world:
            story, then = Story(world), dict[int, Lists]()
            await story.create_vpc(0, 0)
            for _ in range(STORY):
                await attempt(chance.choice(STEPS)(story, chance.randrange(4), chance.randrange(4)))
                then[(await world.store.head()).position] = await listed(world)
            for every in (1_000, 7):
                await SnapshotKeeper(world.store, History(world.store, PAST.reducer), every).once()
                async with Known(world.address, world.address, account="operator", project="x") as operator:
                    for position, lists in then.items():
                        assert await remembered(operator, When(position)) == lists


async def test_who_may_not_ask_and_what_is_not_there_are_told_apart_in_words(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with running_registry(tmp_path_factory.mktemp("registry")) as world:
        vpc = await world.payments.vpc()
        head = await world.store.head()
        async with Known(world.address, world.address, account="operator", project="x") as operator:
            found = await operator.history.resource("vpc", vpc.id)
            assert [state.vpc for state in found.states] == [vpc]
            assert (found.header.log_id, found.header.position) == (head.log_id, head.position)
            assert (await operator.history.resource("vpc", vpc.id, When(time=_before(vpc.create_time)))).states == []
            with pytest.raises(errors.OutOfRange, match=r"log ends at position 1: there is nothing at 2; .* restored"):
                await operator.history.resource("vpc", vpc.id, When(2))
            with pytest.raises(errors.WrongState, match="epoch 1: what was asked for is a position of another"):
                await operator.history.resource("vpc", vpc.id, When(1, log_id=head.log_id, epoch=2))
        async with Known(world.address, world.address, account="payments", project="default") as owner:
            assert (await owner.history.resource("vpc", vpc.id)).states == [], "it is another project's"


async def test_a_question_that_takes_too_long_is_ended(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_registry(tmp_path_factory.mktemp("registry")) as world:
        vpc = await world.payments.vpc()
        monkeypatch.setattr("services.common.rpc.history.LONGEST_SECONDS", 0.0)
        async with Known(world.address, world.address, account="operator", project="x") as operator:
            with pytest.raises(errors.TimedOut):
                await operator.history.resource("vpc", vpc.id)


def _before(time: Timestamp) -> Timestamp:
    earlier = Timestamp()
    earlier.CopyFrom(time)
    earlier.seconds -= 1
    return earlier
