"""Terraform's huaweicloud_vpc, _vpc_subnet and _vpc_network_interface: the calls that each makes, in their order."""

from collections.abc import Mapping
from typing import Any, Protocol

from tests.support.golang import Go, Shape, Unexpected, decoded
from tests.support.standalone import until

Config = Mapping[str, Any]
State = dict[str, Any]

VPC: Shape = {
    "id": str,
    "name": str,
    "cidr": str,
    "description": str,
    "status": str,
    "enterprise_project_id": str,
    "enhanced_local_route": bool,
    "routes": list,
}
SUBNET: Shape = {
    "id": str,
    "name": str,
    "description": str,
    "cidr": str,
    "dnsList": list,
    "gateway_ip": str,
    "ipv6_enable": bool,
    "dhcp_enable": bool,
    "primary_dns": str,
    "secondary_dns": str,
    "availability_zone": str,
    "vpc_id": str,
    "status": str,
    "neutron_subnet_id": str,
    "extra_dhcp_opts": list,
}
PORT: Shape = {
    "id": str,
    "name": str,
    "status": str,
    "network_id": str,
    "fixed_ips": list,
    "mac_address": str,
    "device_id": str,
    "device_owner": str,
    "security_groups": list,
    "allowed_address_pairs": list,
    "extra_dhcp_opts": list,
    "instance_id": str,
    "instance_type": str,
    "zone_id": str,
    "port_security_enabled": bool,
    "enable_efi": bool,
    "ipv6_bandwidth_id": str,
}


class Resource(Protocol):
    """A kind of resource, as the provider has it."""

    async def create(self, go: Go, config: Config) -> str:
        """Until the waiter is satisfied; gives the id."""

    async def read(self, go: Go, id_: str) -> State | None:
        """What the state file has afterwards; None for what is gone."""

    async def update(self, go: Go, id_: str, before: Config, config: Config) -> None: ...

    async def delete(self, go: Go, id_: str, state: State) -> None:
        """Until it is gone."""


class Vpc:
    path = "/v1/{project_id}/vpcs"

    async def create(self, go: Go, config: Config) -> str:
        said = {name: config[name] for name in ("name", "cidr", "description") if config.get(name)}
        id_ = str((await go.ask("POST", self.path, {"vpc": said}))["vpc"]["id"])
        await settled(go, f"{self.path}/{id_}", VPC, within="vpc", pending="CREATING", target=("OK",))
        await _tagged(go, "vpcs", id_, {}, config.get("tags", {}))
        if more := config.get("secondary_cidrs"):
            await self._ranges(go, id_, "add", more)
        return id_

    async def read(self, go: Go, id_: str) -> State | None:
        found = await found_at(go, f"{self.path}/{id_}", VPC, "vpc")
        if found is None:
            return None
        third = (await go.ask("GET", f"/v3/{{project_id}}/vpc/vpcs/{id_}"))["vpc"]
        return {**found, "tags": await _tags(go, "vpcs", id_), "secondary_cidrs": third["extend_cidrs"]}

    async def update(self, go: Go, id_: str, before: Config, config: Config) -> None:
        said = {name: config[name] for name in ("name", "cidr")}
        if before.get("description", "") != config.get("description", ""):
            said["description"] = config.get("description", "")
        await go.ask("PUT", f"{self.path}/{id_}", {"vpc": said})
        await _tagged(go, "vpcs", id_, before.get("tags", {}), config.get("tags", {}))
        old, new = (set(each.get("secondary_cidrs", ())) for each in (before, config))
        if old - new:
            await self._ranges(go, id_, "remove", sorted(old - new))
        if new - old:
            await self._ranges(go, id_, "add", sorted(new - old))

    async def delete(self, go: Go, id_: str, state: State) -> None:
        await _deleted(go, f"{self.path}/{id_}", f"{self.path}/{id_}")

    async def _ranges(self, go: Go, id_: str, verb: str, cidrs: list[str]) -> None:
        path = f"/v3/{{project_id}}/vpc/vpcs/{id_}/{verb}-extend-cidr"
        await go.ask("PUT", path, {"vpc": {"extend_cidrs": cidrs}})


class Subnet:
    path = "/v1/{project_id}/subnets"

    async def create(self, go: Go, config: Config) -> str:
        said = {"dhcp_enable": True, "ipv6_enable": False, **config}
        said.pop("tags", None)
        id_ = str((await go.ask("POST", self.path, {"subnet": said}))["subnet"]["id"])
        await settled(go, f"{self.path}/{id_}", SUBNET, within="subnet", pending="UNKNOWN", target=("ACTIVE",))
        await _tagged(go, "subnets", id_, {}, config.get("tags", {}))
        return id_

    async def read(self, go: Go, id_: str) -> State | None:
        found = await found_at(go, f"{self.path}/{id_}", SUBNET, "subnet")
        return found and {**found, "tags": await _tags(go, "subnets", id_)}

    async def update(self, go: Go, id_: str, before: Config, config: Config) -> None:
        said = {"name": config["name"], "dhcp_enable": config.get("dhcp_enable", True)}
        changed = ("description", "primary_dns", "secondary_dns")
        said |= {name: config.get(name, "") for name in changed if before.get(name, "") != config.get(name, "")}
        await go.ask("PUT", f"/v1/{{project_id}}/vpcs/{config['vpc_id']}/subnets/{id_}", {"subnet": said})
        await _tagged(go, "subnets", id_, before.get("tags", {}), config.get("tags", {}))

    async def delete(self, go: Go, id_: str, state: State) -> None:
        await _deleted(go, f"{self.path}/{id_}", f"/v1/{{project_id}}/vpcs/{state['vpc_id']}/subnets/{id_}")


class NetworkInterface:
    path = "/v1/{project_id}/ports"

    async def create(self, go: Go, config: Config) -> str:
        said: dict[str, Any] = {"network_id": config["subnet_id"]}
        if config.get("name"):
            said["name"] = config["name"]
        if address := config.get("fixed_ip_v4"):
            said["fixed_ips"] = [{"ip_address": address}]
        return str((await go.ask("POST", self.path, {"port": said}))["port"]["id"])

    async def read(self, go: Go, id_: str) -> State | None:
        found = await found_at(go, f"{self.path}/{id_}", PORT, "port")
        if found is None:
            return None
        return {**found, "subnet_id": found["network_id"], "fixed_ip_v4": found["fixed_ips"][0]["ip_address"]}

    async def update(self, go: Go, id_: str, before: Config, config: Config) -> None:
        await go.ask("PUT", f"{self.path}/{id_}", {"port": {"name": config.get("name", "")}})

    async def delete(self, go: Go, id_: str, state: State) -> None:
        await go.ask("DELETE", f"{self.path}/{id_}")


def plan(config: Config, state: State | None) -> dict[str, tuple[Any, Any]]:
    """What the next apply would change: by field, what was asked for and what is there."""
    assert state is not None, "the resource is gone, and would be made again"
    wanted = {name: (value, state.get(name)) for name, value in config.items()}
    return {name: pair for name, pair in wanted.items() if _differ(*pair)}


def _differ(wanted: Any, there: Any) -> bool:
    """Lists of texts are sets to the provider; those of blocks keep their order."""
    if isinstance(wanted, list) and all(isinstance(each, str) for each in wanted):
        return set(wanted) != set(there)
    return bool(wanted != there)


async def settled(go: Go, path: str, shape: Shape, *, within: str = "", pending: str, target: tuple[str, ...]) -> None:
    """Any other status than these aborts an apply. `within` is the key that the object is under."""

    async def ask() -> bool:
        answer = await go.ask("GET", path)
        status = decoded(answer[within] if within else answer, shape)["status"]
        assert status in {pending, *target}, f"{path} is {status}"
        return status in target

    await until(f"{path} to be {' or '.join(target)}", ask)


async def found_at(go: Go, path: str, shape: Shape, within: str = "") -> State | None:
    try:
        answer = await go.ask("GET", path)
    except Unexpected as error:
        if error.status == 404:
            return None
        raise
    return decoded(answer[within] if within else answer, shape)


async def _deleted(go: Go, shown: str, path: str) -> None:
    """Asks, deletes, and asks again, as long as it is in use (409) or there."""

    async def ask() -> bool:
        if await go.status(shown) == 404:
            return True
        try:
            await go.ask("DELETE", path)
        except Unexpected as error:
            assert error.status in (404, 409), error
        return False

    await until(f"{path} to be gone", ask)


async def _tags(go: Go, kind: str, id_: str) -> dict[str, str]:
    found = (await go.ask("GET", f"/v2.0/{{project_id}}/{kind}/{id_}/tags"))["tags"]
    return {tag["key"]: tag["value"] for tag in found}


async def _tagged(go: Go, kind: str, id_: str, before: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """All old ones away, all new ones there."""
    path = f"/v2.0/{{project_id}}/{kind}/{id_}/tags/action"
    for action, some in (("delete", before), ("create", tags)):
        if some and before != tags:
            named = [{"key": key, "value": value} for key, value in some.items()]
            await go.ask("POST", path, {"action": action, "tags": named}, ok={204})
