"""Packets through the whole system, from the public interface to the wire: what passes, and what must not."""

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from tests.support import namespaces
from tests.support.standalone import Standalone, require_root, until
from tests.support.toa import ToaServer, ask
from tests.support.world import (
    MACHINE,
    Conversation,
    Site,
    ask_over_udp,
    call,
    eventually_answers,
    machine,
    repeat_over_udp,
    site,
    tcp,
    udp,
    who_answers,
)

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

SOURCES = ipaddress.ip_network("198.19.128.0/17")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def sites(sidegate: Standalone, request: pytest.FixtureRequest) -> AsyncIterator[Sequence[Site]]:
    """Two consumers and two providers, accounts of this test's own; all of them are 10.0.0.0/24."""
    accounts = [f"{name}-{request.node.name[5:40].rstrip('_')}" for name in ("anna", "bert", "pia", "quin")]
    async with contextlib.AsyncExitStack() as stack:
        made = stack.enter_context(namespaces.make("anna", "bert", "pia", "quin"))
        pairs = zip(accounts, made, strict=True)
        yield [await stack.enter_async_context(site(sidegate, account, namespace)) for account, namespace in pairs]


async def test_equal_networks_with_equal_addresses_and_ports_each_reach_their_own_backend(
    sites: Sequence[Site],
) -> None:
    anna, bert, pia, quin = sites
    async with machine(pia.namespace, "pia") as seen_by_pia, machine(quin.namespace, "quin") as seen_by_quin:
        for consumer, provider in ((anna, pia), (bert, quin)):
            service = await provider.publish("web", approval=False)
            await provider.client.services.permit(service.id, [f"iam:domain::{consumer.account}"])
            endpoint = await consumer.request(service, "10.0.0.100")
            assert endpoint.address == "10.0.0.100"
            await consumer.accepted(endpoint)
        calls = [call(consumer.namespace, "10.0.0.100", 80, source_port=40_000) for consumer in (anna, bert)]
        conversations = await asyncio.gather(*calls)
        assert [each.name if each else None for each in conversations] == ["pia", "quin"]
        for each in conversations:
            assert each is not None
            assert await each.goes_on()
            each.close()
        for sources in (seen_by_pia, seen_by_quin):
            assert sources
            assert all(ipaddress.ip_address(source) in SOURCES for source in sources)


async def test_a_backend_reads_the_clients_address_where_its_port_tells_of_clients(sites: Sequence[Site]) -> None:
    anna, bert, pia, _ = sites
    told = tcp(80, 8080)
    told.client_identity = EndpointService.CLIENT_IDENTITY_TOA
    service = await pia.publish("web", told, tcp(81, 8080), approval=False)
    with contextlib.closing(ToaServer.at(pia.namespace, MACHINE)) as server:
        for consumer in (anna, bert):
            await pia.client.services.permit(service.id, [f"iam:domain::{consumer.account}"])
            endpoint = await consumer.accepted(await consumer.request(service))
            to = endpoint.address
            read, client = await asyncio.gather(server.told(), ask(consumer.namespace, MACHINE, (to, 80)))
            assert read == client
            read, _ = await asyncio.gather(server.told(), ask(consumer.namespace, MACHINE, (to, 81)))
            assert read is None


async def test_no_packet_passes_before_approval_after_rejection_or_after_deletion(sites: Sequence[Site]) -> None:
    anna, _, pia, _ = sites
    async with machine(pia.namespace, "pia"):
        service = await pia.publish("web", approval=True)
        await pia.client.services.permit(service.id, [f"iam:domain::{anna.account}"])
        endpoint = await anna.request(service)
        assert endpoint.state == ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE
        assert await who_answers(anna.namespace, endpoint.address, 80) is None

        await pia.client.connections.accept(service.id, endpoint.id)
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "pia"
        conversation = await call(anna.namespace, endpoint.address, 80)
        assert conversation is not None

        await pia.client.connections.reject(service.id, endpoint.id)
        await until("the rejected conversation to end", lambda: _falls_silent(conversation))
        assert await who_answers(anna.namespace, endpoint.address, 80) is None
        conversation.close()

        again = await pia.client.connections.accept(service.id, endpoint.id)
        assert again.endpoint_id == endpoint.id
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "pia"
        second = await call(anna.namespace, endpoint.address, 80)
        assert second is not None
        await anna.client.endpoints.delete(endpoint.id)
        await until("the deleted conversation to end", lambda: _falls_silent(second))
        second.close()
        freed = await anna.request(service)
        assert freed.address != "", "the address of a deleted endpoint must become free"
        assert await who_answers(anna.namespace, endpoint.address, 80) is None


async def _falls_silent(conversation: Conversation) -> bool:
    return not await conversation.goes_on(0.2)


async def test_sessions_drain_though_every_program_dies_and_history_tells_of_it(
    sidegate: Standalone, sites: Sequence[Site]
) -> None:
    anna, _, pia, _ = sites
    async with machine(pia.namespace, "pia"):
        service = await pia.publish("web", approval=True)
        await pia.client.services.permit(service.id, [f"iam:domain::{anna.account}"])
        endpoint = await anna.request(service)
        await pia.client.connections.accept(service.id, endpoint.id)
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "pia"
        conversation = await call(anna.namespace, endpoint.address, 80)
        assert conversation is not None

        async def nobody_answers() -> bool:
            return await who_answers(anna.namespace, endpoint.address, 80) is None

        def replayed(*when: str) -> tuple[int, list[int]]:
            told = sidegate.answer("replay", "--cell", "default", *when)
            here = [each["resource"]["draining_until"] for each in told["resources"] if each["id"] == endpoint.id]
            return told["at"][0]["position"], here

        rejected = sidegate.answer("connection", "reject", "web", endpoint.id, "--drain", "1h", account=pia.account)
        assert (rejected["state"], rejected["drain_end_time"] is None) == ("rejected", False)
        await until("no new conversation", nobody_answers)
        assert await conversation.goes_on()
        position, draining = replayed()
        await asyncio.gather(*(sidegate.kill_program(program) for program in ("gateway", "endpoint")))
        assert await conversation.goes_on()
        assert await nobody_answers()

        async def accepted_again() -> bool:
            done = sidegate.cli("connection", "accept", "web", endpoint.id, account=pia.account)
            return done.returncode == 0

        await until("the endpoint service to be back", accepted_again)
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "pia"
        assert await conversation.goes_on()

        gone = sidegate.answer("endpoint", "delete", endpoint.id, "--drain", "2s", "--wait", account=anna.account)
        assert gone["state"] == "deleted"
        assert await _falls_silent(conversation)
        conversation.close()
        assert replayed("--at", str(position)) == (position, draining)
        assert len(draining) == 1


async def test_only_published_ports_pass_and_only_one_way(sites: Sequence[Site]) -> None:
    anna, bert, pia, quin = sites
    async with (
        machine(pia.namespace, "pia") as seen,
        machine(pia.namespace, "pia's other", 9090),
        machine(anna.namespace, "anna", 80),
        machine(quin.namespace, "quin"),
    ):
        service = await pia.publish("web", approval=False)
        await pia.client.services.permit(service.id, [f"iam:domain::{anna.account}"])
        endpoint = await anna.accepted(await anna.request(service, "10.0.0.100"))
        assert await who_answers(anna.namespace, endpoint.address, 80) == "pia"
        source = seen[0]
        for where, address, port in (
            (anna, endpoint.address, 8080),  # the server's own port
            (anna, endpoint.address, 9090),  # another port of the backend
            (anna, "10.0.0.1", 80),  # the router's address
            (anna, "10.0.0.101", 80),  # an address that nobody has
            (anna, source, 80),  # the provider's side, by an address that only the provider sees
            (pia, source, 80),  # from the provider to the consumer
            (pia, endpoint.address, 80),
            (bert, endpoint.address, 80),  # another consumer, with no endpoint
            (quin, endpoint.address, 80),
        ):
            assert await who_answers(where.namespace, address, port, 0.3) is None, (where.account, address, port)


async def test_a_whitelist_lets_in_whom_it_names_and_cuts_whom_it_names_no_more(sites: Sequence[Site]) -> None:
    anna, _, pia, _ = sites
    anna.namespace.add_address("10.0.0.11/24")
    async with machine(pia.namespace, "pia"):
        service = await pia.publish("web", approval=False)
        await pia.client.services.permit(service.id, ["iam:domain::*"])
        endpoint = await anna.accepted(await anna.request(service, allowed=(f"{MACHINE}/32",)))
        conversation = await call(anna.namespace, endpoint.address, 80)
        assert conversation is not None
        await anna.client.endpoints.update(endpoint.id, allowed_cidrs=["10.0.0.11/32"])
        await until("the source that is allowed no more to be cut", lambda: _falls_silent(conversation))
        conversation.close()
        assert await who_answers(anna.namespace, endpoint.address, 80) is None
        await anna.client.endpoints.update(endpoint.id, allowed_cidrs=[])
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "pia"


async def test_udp_passes_too(sites: Sequence[Site]) -> None:
    anna, _, pia, _ = sites
    with pia.namespace.udp_socket(MACHINE, 5353) as ear:
        answering = asyncio.create_task(repeat_over_udp(ear, b"pia"))
        service = await pia.publish("dns", udp(53, 5353), approval=False)
        await pia.client.services.permit(service.id, ["iam:domain::*"])
        endpoint = await anna.accepted(await anna.request(service))
        assert await ask_over_udp(anna.namespace, endpoint.address, 53) == b"pia hello"
        assert await ask_over_udp(anna.namespace, endpoint.address, 54) is None
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


async def test_other_backends_and_ports_reach_every_endpoint_and_leave_conversations_alone(
    sites: Sequence[Site],
) -> None:
    anna, _, pia, _ = sites
    pia.namespace.add_address("10.0.0.11/24")
    async with machine(pia.namespace, "old"), machine(pia.namespace, "new", address="10.0.0.11"):
        service = await pia.publish("web", approval=False)
        await pia.client.services.permit(service.id, ["iam:domain::*"])
        endpoint = await anna.accepted(await anna.request(service))
        conversation = await call(anna.namespace, endpoint.address, 80)
        assert conversation is not None
        assert conversation.name == "old"
        await pia.client.services.update(
            service.id, backends=[Backend(address="10.0.0.11")], port_mappings=[tcp(80, 8080), tcp(81, 8080)]
        )

        async def moved() -> bool:
            return await who_answers(anna.namespace, endpoint.address, 81) == "new"

        await until("the new port to lead to the new backend", moved)
        assert await who_answers(anna.namespace, endpoint.address, 80) == "new"
        assert await conversation.goes_on()
        conversation.close()


async def test_new_connections_follow_weights_and_a_drained_backend_keeps_only_those_that_it_has(
    sites: Sequence[Site], sidegate: Standalone
) -> None:
    anna, _, pia, _ = sites
    light = "10.0.0.11"
    pia.namespace.add_address(f"{light}/24")

    def tell(*words: str) -> Any:
        return sidegate.answer("service", *words, account=pia.account)

    async def answers(count: int) -> Counter[str | None]:
        return Counter([await who_answers(anna.namespace, endpoint.address, 80) for _ in range(count)])

    async with machine(pia.namespace, "heavy"), machine(pia.namespace, "light", address=light):
        backends = ("--backend", f"{MACHINE}=3", "--backend", light)
        service = tell("create", "web", "--vpc", pia.vpc_id, *backends, "--port", "80:8080")
        assert [each["weight"] for each in service["backends"]] == [3, 1]
        await pia.client.services.permit(service["id"], ["iam:domain::*"])
        endpoint = await anna.accepted(await anna.request(await pia.client.services.get(service["id"])))
        await until("both to answer", lambda: _both(answers))
        shares = await answers(60)
        assert shares["heavy"] + shares["light"] == 60
        assert 30 <= shares["heavy"] <= 58, "45 on average"
        conversations = [await _conversation_with(name, anna, endpoint.address) for name in ("heavy", "light")]

        assert [each["draining"] for each in tell("drain", "web", MACHINE)["backends"]] == [True, False]
        await until("the gateway to know", lambda: _draining(sidegate, service["id"], MACHINE))
        assert await answers(20) == {"light": 20}
        assert f"{MACHINE}=3/draining, {light}" in sidegate.cli("gateway", "show").stdout
        assert sidegate.answer("audit", "replay", "--compare")["equal"]

        tell("drain", "web", light)
        await until("the gateway to know", lambda: _draining(sidegate, service["id"], MACHINE, light))
        assert await answers(1) == {None: 1}
        await until("the condition to say so", lambda: _says(anna, endpoint, "the service takes no new connections"))
        assert all([await conversation.goes_on() for conversation in conversations])

        tell("undrain", "web", MACHINE)
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "heavy"
        assert all([await conversation.goes_on() for conversation in conversations])
        for conversation in conversations:
            conversation.close()


async def test_a_deleted_service_ends_its_connections_when_forced_and_names_them_when_not(
    sites: Sequence[Site], sidegate: Standalone
) -> None:
    anna, _, pia, _ = sites
    async with machine(pia.namespace, "pia"):
        service = await pia.publish("web", approval=False)
        await pia.client.services.permit(service.id, ["iam:domain::*"])
        endpoint = await anna.accepted(await anna.request(service))
        refused = sidegate.cli("service", "delete", service.id, account=pia.account)
        assert refused.returncode == 4
        assert endpoint.id in refused.stderr
        conversation = await call(anna.namespace, endpoint.address, 80)
        assert conversation is not None
        await pia.client.services.delete(service.id, force=True)
        await until("the conversation to end", lambda: _falls_silent(conversation))
        conversation.close()

        async def failed() -> bool:
            return await anna.state(endpoint) == ConnectionState.CONNECTION_STATE_FAILED

        await until("the endpoint to be FAILED", failed)


async def test_the_kernels_table_is_the_logs(sidegate: Standalone, tmp_path: Path) -> None:
    compared = sidegate.cli("audit", "replay", "--compare", "-o", "json")
    assert compared.returncode == 0, compared.stdout
    verified = sidegate.cli("audit", "verify")
    assert verified.returncode == 0, verified.stdout


async def _both(answers: Callable[[int], Awaitable[Counter[str | None]]]) -> bool:
    return {"heavy", "light"} <= (await answers(10)).keys()


async def _conversation_with(name: str, consumer: Site, address: str) -> Conversation:
    """A new one that this machine has answered."""

    async def ask() -> Conversation | None:
        conversation = await call(consumer.namespace, address, 80)
        if conversation is not None and conversation.name != name:
            conversation.close()
            return None
        return conversation

    conversation = await until(f"a conversation with {name}", ask)
    assert conversation is not None
    return conversation


async def _draining(sidegate: Standalone, service: str, *addresses: str) -> bool:
    """Whether in the kernel's table these backends are draining, and no others."""
    async with sidegate.client("operator") as operator:
        table = await operator.gateway.table()
    services = [each.entry.service for each in table.entries if each.entry.service.service_id == service]
    return {each.address for found in services for each in found.weighted_backends if each.draining} == set(addresses)


async def _says(consumer: Site, endpoint: Endpoint, reason: str) -> bool:
    ready = (await consumer.client.endpoints.get(endpoint.id)).ready
    return not ready.status and ready.reason.startswith(reason)
