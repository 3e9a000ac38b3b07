"""IPv6 through the whole system, from the public interface to the wire, beside IPv4 in the same VPCs."""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from sidegate import errors
from tests.support import namespaces
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import (
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

SOURCES = ipaddress.ip_network("fd73:6964:6567:6174::/96")
LEASED = ipaddress.ip_network("198.19.128.0/17")
CIDR, CLIENT, BACKEND = "fd00:10::/64", "fd00:10::10", "fd00:10::10"
"""The same on both sides, as every VPC may have it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate")) as running:
        yield running


async def with_ipv6(there: Site) -> Site:
    """The site, now with a range of IPv6 beside its first one; its subnet is the one of that range."""
    vpc = await there.client.vpcs.get(there.vpc_id)
    await there.client.vpcs.update(vpc.id, cidrs=[*vpc.cidrs, CIDR])
    subnet = await there.client.subnets.create("six", vpc.id, CIDR)
    there.namespace.ip("address", "add", f"{CLIENT}/64", "dev", namespaces.DEVICE, "nodad")
    return replace(there, subnet_id=subnet.id)


async def test_an_ipv6_endpoint_carries_what_is_allowed_and_nothing_else(sidegate: Standalone) -> None:
    async with contextlib.AsyncExitStack() as stack:
        shop, pay = stack.enter_context(namespaces.make("shop6", "pay6"))
        anna = await stack.enter_async_context(site(sidegate, "anna", shop))
        pia = await stack.enter_async_context(site(sidegate, "pia", pay))
        anna6, pia6 = await with_ipv6(anna), await with_ipv6(pia)
        seen = await stack.enter_async_context(machine(pay, "six", address=BACKEND))
        await stack.enter_async_context(machine(pay, "four"))
        service = await pia6.publish("web6", tcp(80, 8080), udp(53, 5353), approval=True, backend=BACKEND)
        await pia.client.services.permit(service.id, [f"iam:domain::{anna.account}"])
        with pytest.raises(errors.InvalidRequest, match="name a subnet of IPv6"):
            await anna.request(service)

        endpoint = await anna6.request(service)
        address = endpoint.address
        assert ipaddress.ip_address(address) in ipaddress.ip_network(CIDR)
        assert await who_answers(shop, address, 80) is None, "it is not accepted yet"
        await pia.client.connections.accept(service.id, endpoint.id)
        assert await eventually_answers(shop, address, 80) == "six"
        assert {ipaddress.ip_address(source) in SOURCES for source in seen} == {True}
        leased = ipaddress.IPv4Address(int(ipaddress.ip_address(seen[0])) & 0xFFFFFFFF)
        assert leased in LEASED, "what is leased ends the address that the backend sees"
        assert await who_answers(shop, address, 81) is None, "a port that is not published"
        assert await who_answers(pay, seen[0], 80) is None, "from the provider nothing begins"

        ear = pay.udp_socket(BACKEND, 5353)
        repeating = asyncio.create_task(repeat_over_udp(ear, b"pia"))
        assert await ask_over_udp(shop, address, 53) == b"pia hello"
        repeating.cancel()
        ear.close()

        old = await pia.publish("web4", approval=False)
        await pia.client.services.permit(old.id, [f"iam:domain::{anna.account}"])
        four = await anna.accepted(await anna.request(old))
        assert await who_answers(shop, four.address, 80) == "four", "IPv4 goes on beside it"

        tested = await anna.client.endpoints.test(endpoint.id)
        assert tested.reachable, [step.message for step in tested.steps]
        shown = sidegate.cli("gateway", "show").stdout
        assert address in shown
        assert BACKEND in shown

        conversation = await call(shop, address, 80)
        assert conversation is not None
        await anna.client.endpoints.update(endpoint.id, allowed_cidrs=["fd00:10::77/128"])

        async def silent() -> bool:
            return not await conversation.goes_on(0.2)

        await until("the conversation of a source that is allowed no more to end", silent)
        conversation.close()
        assert await who_answers(shop, address, 80) is None
        await anna.client.endpoints.update(endpoint.id, allowed_cidrs=[f"{CLIENT}/128"])
        assert await eventually_answers(shop, address, 80) == "six"
        await pia.client.connections.reject(service.id, endpoint.id)

        async def nobody() -> bool:
            return await who_answers(shop, address, 80) is None

        await until("nobody to answer after the rejection", nobody)
        assert await who_answers(shop, four.address, 80) == "four"
