"""What a reachability test says of packets that pass, and of all that can be in their way, on real networks."""

import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from sidegate import errors
from sidegate.api.endpoint.v1 import reachability_pb2
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support import namespaces
from tests.support.standalone import Standalone, until
from tests.support.world import MACHINE, Site, machine, site

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]
Step, Backend = reachability_pb2.ReachabilityStep, reachability_pb2.TestedBackend

HALVES = ("198.19.128.0/18", "198.19.192.0/18")
"""Of the source range: a machine that has no way back to them is silent."""


@dataclass
class Scene:
    sidegate: Standalone
    shop: Site
    payments: Site
    service: EndpointService
    endpoint: Endpoint

    async def tested(self) -> Mapping[str, tuple[str, str]]:
        """Outcome and words by step; once the endpoint has been seen by its gateways."""
        answer = await self.shop.client.endpoints.test(self.endpoint.id)
        assert answer.reachable == all(step.outcome == Step.OUTCOME_PASSED for step in answer.steps)
        assert not any(MACHINE in step.message or "8080" in step.message for step in answer.steps)
        return {
            Step.Subject.Name(step.subject)[8:].lower(): (Step.Outcome.Name(step.outcome)[8:].lower(), step.message)
            for step in answer.steps
        }


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def scene(sidegate: Standalone) -> AsyncIterator[Scene]:
    async with contextlib.AsyncExitStack() as stack:
        pair = stack.enter_context(namespaces.make("buyer", "seller"))
        shop, payments = [
            await stack.enter_async_context(site(sidegate, account, namespace))
            for account, namespace in zip(("buyer", "seller"), pair, strict=True)
        ]
        service = await payments.publish("web", approval=True)
        await payments.client.services.permit(service.id, ["iam:domain::buyer"])
        yield Scene(sidegate, shop, payments, service, await shop.request(service, "10.0.0.77"))


async def test_each_thing_in_the_way_is_named_and_nothing_is_once_packets_pass(scene: Scene) -> None:
    found = await scene.tested()
    assert found["state"] == ("failed", "the service's owner has yet to accept it")
    assert found["backends"][0] == "not_tried"

    await scene.payments.client.connections.accept(scene.service.id, scene.endpoint.id)
    await scene.shop.accepted(scene.endpoint)
    assert (await scene.tested())["backends"] == ("failed", "the service's backend refused")

    async with machine(scene.payments.namespace, "payments") as seen:
        found = await scene.tested()
        assert {outcome for outcome, _ in found.values()} == {"passed"}
        assert seen == []  # the connection was given up before anybody was told of it

        for half in HALVES:
            scene.payments.namespace.ip("route", "add", "blackhole", half)
        assert (await scene.tested())["backends"] == ("failed", "no backend of the service answers")
        for half in HALVES:
            scene.payments.namespace.ip("route", "delete", "blackhole", half)

        scene.shop.namespace.add_address("10.0.0.77/32")
        arp = (await scene.tested())["arp"]
        assert arp[0] == "failed"
        assert scene.shop.namespace.mac().hex(":") in arp[1]
        scene.shop.namespace.ip("address", "delete", "10.0.0.77/32", "dev", "sidegate0")
        assert (await scene.tested())["arp"][0] == "passed"


async def test_a_gateway_that_stands_still_is_what_is_in_the_way(scene: Scene) -> None:
    gateway = scene.sidegate.pid_of("gateway")
    os.kill(gateway, signal.SIGSTOP)
    try:
        found = await scene.tested()
    finally:
        os.kill(gateway, signal.SIGCONT)
    assert found["gateways"] == ("failed", "the one gateway of its cell did not answer")
    assert found["backends"][0] == "not_tried"


async def test_the_services_owner_sees_each_backend_and_nothing_of_the_consumer(scene: Scene) -> None:
    async def tested() -> bool:
        answer = await scene.payments.client.connections.test(scene.service.id, scene.endpoint.id)
        assert "10.0.0.77" not in str(answer)
        expected = Backend(address=MACHINE, port=8080, protocol="tcp", outcome=Backend.OUTCOME_REFUSED)
        return list(answer.backends) == [expected]

    await until("the backend to be told of", tested)


async def test_the_command_line_draws_the_steps_and_its_exit_code_is_the_answer(scene: Scene) -> None:
    done = scene.sidegate.cli("endpoint", "test", scene.endpoint.id, account="buyer")
    assert done.returncode == 1
    assert "the service's backend refused" in done.stdout
    async with machine(scene.payments.namespace, "payments"):
        done = scene.sidegate.cli("endpoint", "test", scene.endpoint.id, "-o", "json", account="buyer")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["reachable"] is True


async def test_the_operator_reads_each_step_of_a_packets_way_and_the_owner_whether_it_passes(scene: Scene) -> None:
    packet, service = Opening(source="10.0.0.33", port=80), scene.service.id
    async with scene.sidegate.client("operator") as operator:
        traced = await operator.traces.packet(scene.endpoint.id, packet)
        assert (traced.account, traced.marker_id, traced.service_id) == ("buyer", scene.endpoint.marker_id, service)
        (on,) = traced.traces
        assert (on.trace.verdict, on.trace.foreseen) == ("forwarded", "forwarded")
        assert (on.trace.backend, on.trace.server_port) == (MACHINE, 8080)
        assert on.trace.seen_as.startswith("198.19.")
        with pytest.raises(errors.NotFound):
            await operator.traces.packet(scene.endpoint.id, packet, gateway="gw-9")
        with pytest.raises(errors.InvalidRequest, match="IPv6"):
            await operator.traces.packet(scene.endpoint.id, Opening(source="fd00::1"))
    read = await scene.shop.client.traces.endpoint(scene.endpoint.id, packet)
    assert read.passes
    assert not any(secret in str(read) for secret in (MACHINE, "8080", "198.19.", on.gateway_id))
    await scene.shop.client.endpoints.update(scene.endpoint.id, allowed_cidrs=["10.0.0.8/32"])

    async def told() -> bool:
        """Accepted it was before: what is waited for is the gateway's having the new whitelist."""
        read = await scene.shop.client.traces.endpoint(scene.endpoint.id, packet)
        return "its whitelist does not have 10.0.0.33" in [step.message for step in read.steps]

    await until("the whitelist to be what is in the way", told)
    done = scene.sidegate.cli("gateway", "trace", "--endpoint", scene.endpoint.id, "--from", "10.0.0.8:40000")
    assert (done.returncode, f"──tcp──▶ {MACHINE}:8080" in done.stdout) == (0, True), done
    await scene.shop.client.endpoints.update(scene.endpoint.id, allowed_cidrs=[])


async def test_a_trace_is_for_the_operator_and_for_the_endpoints_owner_alone(scene: Scene) -> None:
    packet, nobodys = Opening(source="10.0.0.10", port=80), "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"
    for tenant in (scene.shop, scene.payments):
        with pytest.raises(errors.Forbidden):
            await tenant.client.traces.packet(scene.endpoint.id, packet)
    for tenant, endpoint in ((scene.payments, scene.endpoint.id), (scene.shop, nobodys)):
        with pytest.raises(errors.NotFound, match=f"endpoint {endpoint} is not there"):
            await tenant.client.traces.endpoint(endpoint, packet)


async def test_a_foreign_endpoint_is_not_there_and_tests_are_counted_for_each_project(scene: Scene) -> None:
    with pytest.raises(errors.NotFound):
        await scene.payments.client.endpoints.test(scene.endpoint.id)
    with pytest.raises(errors.NotFound):
        await scene.shop.client.connections.test(scene.service.id, scene.endpoint.id)
    with pytest.raises(errors.QuotaReached) as refused:
        for _ in range(60):
            await scene.shop.client.endpoints.test(scene.endpoint.id)
    assert refused.value.reason == "TOO_MANY_TESTS"
