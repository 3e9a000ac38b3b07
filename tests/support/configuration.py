"""A Terraform configuration, read by a parser and carried out with the calls that Terraform's provider makes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import hcl2

from tests.support.golang import Go
from tests.support.terraform import NetworkInterface, Resource, State, Subnet, Vpc, plan
from tests.support.terraform_vpcep import Approval, Endpoint, Service

KINDS: Mapping[str, Resource] = {
    "huaweicloud_vpc": Vpc(),
    "huaweicloud_vpc_subnet": Subnet(),
    "huaweicloud_vpc_network_interface": NetworkInterface(),
    "huaweicloud_vpcep_service": Service(),
    "huaweicloud_vpcep_endpoint": Endpoint(),
    "huaweicloud_vpcep_approval": Approval(),
}
REFERENCE = re.compile(r"\$\{(huaweicloud\w*\.\w+)(?:\.(\w+))?\}")
NOT_AN_ARGUMENT = {"provider", "__is_block__"}


@dataclass
class Configuration:
    """`accounts` are by the alias of their provider. `states` are by address, such as huaweicloud_vpc.shop."""

    file: Path
    accounts: Mapping[str, Go]
    states: dict[str, State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parsed = hcl2.loads(self.file.read_text())
        self.providers = {_text(each['"huaweicloud"']["alias"]): each['"huaweicloud"'] for each in parsed["provider"]}
        self.resources = dict(_resources(parsed["resource"]))

    async def apply(self) -> None:
        """What depends on nothing first."""
        for address in self._order():
            resource, go = self._of(address)
            id_ = await resource.create(go, self.arguments(address))
            self.states[address] = {"id": id_, **(await resource.read(go, id_) or {})}

    async def plan(self) -> dict[str, Any]:
        """By address, what another apply would change."""
        found = {}
        for address in self.resources:
            resource, go = self._of(address)
            state = await resource.read(go, self.states[address]["id"])
            found[address] = plan(self.arguments(address), state)
        return {address: changes for address, changes in found.items() if changes}

    async def destroy(self) -> None:
        """The other way round. What could not be made is passed over."""
        for address in reversed(self._order()):
            if state := self.states.pop(address, None):
                resource, go = self._of(address)
                await resource.delete(go, state["id"], state)

    def arguments(self, address: str) -> dict[str, Any]:
        body = self.resources[address]
        return {name: self._value(value) for name, value in body.items() if name not in NOT_AN_ARGUMENT}

    def _of(self, address: str) -> tuple[Resource, Go]:
        (provider,) = _references(self.resources[address]["provider"])
        return KINDS[address.partition(".")[0]], self.accounts[provider.partition(".")[2]]

    def _order(self) -> list[str]:
        """As Terraform orders them: by what they refer to."""
        named = {
            address: [each for each in _references(body) if each in self.resources]
            for address, body in self.resources.items()
        }
        return list(TopologicalSorter(named).static_order())

    def _value(self, value: Any) -> Any:
        match value:
            case dict():
                return {name: self._value(each) for name, each in value.items() if name not in NOT_AN_ARGUMENT}
            case list():
                return [self._value(each) for each in value]
            case str() if reference := REFERENCE.fullmatch(value):
                return self.states[reference[1]][reference[2]]
            case str():
                return _text(value)
            case _:
                return value


def _resources(blocks: list[Any]) -> Iterator[tuple[str, Any]]:
    for block in blocks:
        ((kind, named),) = block.items()
        ((name, body),) = named.items()
        yield f"{_text(kind)}.{_text(name)}", body


def _references(value: Any) -> list[str]:
    """The addresses that stand somewhere in it."""
    match value:
        case dict():
            return [found for each in value.values() for found in _references(each)]
        case list():
            return [found for each in value for found in _references(each)]
        case str():
            return [found[0] for found in REFERENCE.findall(value)]
        case _:
            return []


def _text(quoted: str) -> str:
    return quoted.removeprefix('"').removesuffix('"')
