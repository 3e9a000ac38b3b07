"""What a service asks of gateways, from the command line to the kernel's maps, and whether packets obey it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ConsumerLimits,
    EndpointService,
    HealthCheck,
    SessionSettings,
)
from tests.support import namespaces
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import call, eventually_answers, machine, site, who_answers

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    """One of its own: whether all is in sync is not told of each service."""
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate")) as running:
        yield running


async def test_what_a_service_asks_is_what_the_kernel_has_also_after_the_agent_died_and_cuts_nothing(
    sidegate: Standalone,
) -> None:

    async def in_the_kernel() -> Any:
        """None while the agent is away, or not in sync."""
        with contextlib.suppress(errors.Unavailable):
            async with sidegate.client("operator") as operator:
                table = await operator.gateway.table()
                in_sync = (await operator.gateway.status()).in_sync
            found = [each.entry.service for each in table.entries if each.entry.service.service_id == service.id]
            return found[0] if found and in_sync else None
        return None

    async def agrees(asked: EndpointService) -> bool:
        """Whether all is in sync, and the kernel has what the service asks, the port that its check asks too."""
        found = await in_the_kernel()
        if found is None or found.HasField("health_check") != asked.HasField("health_check"):
            return False
        check = HealthCheck()
        check.CopyFrom(asked.health_check)
        check.port = check.port or (8080 if asked.HasField("health_check") else 0)
        limits = ConsumerLimits()
        limits.CopyFrom(asked.consumer_limits)
        limits.endpoints_per_account = 0
        return (found.session_settings, found.limits, found.health_check) == (asked.session_settings, limits, check)

    async with contextlib.AsyncExitStack() as stack:
        names = ("anna", "pia")
        made = stack.enter_context(namespaces.make(*names))
        pairs = zip(names, made, strict=True)
        anna, pia = [await stack.enter_async_context(site(sidegate, name, namespace)) for name, namespace in pairs]
        await stack.enter_async_context(machine(pia.namespace, "pia"))
        service = await pia.publish("web", approval=False)
        await pia.client.services.permit(service.id, ["iam:domain::*"])
        endpoint = await anna.accepted(await anna.request(service))
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "pia"
        conversation = await call(anna.namespace, endpoint.address, 80)
        assert conversation is not None

        idle = ("--idle-tcp", "10m", "--idle-half-open", "20s", "--idle-closed", "5s", "--idle-udp", "1h")
        more = ("--idle-udp-one-way", "15s", "--affinity", "source-address", "--reset-expired")
        limits = ("--account-endpoints", "7", "--connections", "1", "--new-connections", "500", "--bits", "10G")
        check = ("--health-check", "http/healthz", "--health-interval", "9s", "--health-status", "204")
        sidegate.answer("service", "update", "web", *idle, *more, *limits, *check, account=pia.account)
        asked = await pia.client.services.get(service.id)
        assert (asked.session_settings.udp_two_way_seconds, asked.consumer_limits.bits_per_second) == (3600, 10**10)
        await until("the kernel to have it", lambda: agrees(asked))
        assert "affinity source-address" in sidegate.cli("gateway", "show").stdout
        assert await who_answers(anna.namespace, endpoint.address, 80) is None, "one connection is all that it may have"

        await sidegate.kill_program("gateway")
        await until("the next agent to find it", lambda: agrees(asked))
        assert sidegate.answer("audit", "replay", "--compare")["equal"]
        assert await conversation.goes_on()

        usual = await pia.client.services.update(
            service.id, session_settings=SessionSettings(), consumer_limits=ConsumerLimits(), no_health_check=True
        )
        assert not any(usual.HasField(name) for name in ("session_settings", "health_check"))
        await until("the kernel to have the usual", lambda: agrees(usual))
        assert await eventually_answers(anna.namespace, endpoint.address, 80) == "pia"
        assert await conversation.goes_on()
        conversation.close()
