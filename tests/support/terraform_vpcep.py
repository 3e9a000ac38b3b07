"""Terraform's huaweicloud_vpcep_service, _endpoint and _approval: the calls that each makes, in their order."""

from collections.abc import AsyncIterator
from typing import Any

from tests.support.golang import Go, Shape
from tests.support.standalone import until
from tests.support.terraform import Config, State, found_at, settled

SERVICE: Shape = {
    "id": str,
    "port_id": str,
    "service_name": str,
    "server_type": str,
    "vpc_id": str,
    "approval_enabled": bool,
    "status": str,
    "service_type": str,
    "project_id": str,
    "ports": list,
    "tags": list,
    "description": str,
    "tcp_proxy": str,
    "enable_policy": bool,
}
ENDPOINT: Shape = {
    "id": str,
    "status": str,
    "ip": str,
    "marker_id": int,
    "endpoint_service_id": str,
    "endpoint_service_name": str,
    "service_type": str,
    "vpc_id": str,
    "subnet_id": str,
    "enable_dns": bool,
    "dns_names": list,
    "enable_whitelist": bool,
    "whitelist": list,
    "tags": list,
    "description": str,
}
SERVICES, ENDPOINTS = "/v1/{project_id}/vpc-endpoint-services", "/v1/{project_id}/vpc-endpoints"


class Service:
    path = SERVICES

    async def create(self, go: Go, config: Config) -> str:
        said = {
            "service_name": config["name"],
            "vpc_id": config["vpc_id"],
            "port_id": config["port_id"],
            "server_type": config["server_type"],
            "service_type": "interface",
            "approval_enabled": config.get("approval", False),
            "ports": [
                {"protocol": "TCP", "client_port": each["terminal_port"], "server_port": each["service_port"]}
                for each in config["port_mapping"]
            ],
        }
        id_ = str((await go.ask("POST", self.path, said))["id"])
        await settled(go, f"{self.path}/{id_}", SERVICE, pending="creating", target=("available",))
        if permissions := config.get("permissions"):
            await self._permit(go, id_, "add", permissions)
        return id_

    async def read(self, go: Go, id_: str) -> State | None:
        found = await found_at(go, f"{self.path}/{id_}", SERVICE)
        if found is None:
            return None
        ports = [{"service_port": port["server_port"], "terminal_port": port["client_port"]} for port in found["ports"]]
        permitted = [each["permission"] async for each in pages(go, f"{self.path}/{id_}/permissions", "permissions")]
        mapped = {"name": found["service_name"].split(".")[1], "approval": found["approval_enabled"]}
        return {**found, **mapped, "port_mapping": ports, "permissions": permitted}

    async def update(self, go: Go, id_: str, before: Config, config: Config) -> None:
        said = {"service_name": config["name"], "description": config.get("description", "")}
        if before.get("approval") != config.get("approval"):
            said["approval_enabled"] = config.get("approval", False)
        await go.ask("PUT", f"{self.path}/{id_}", said)

    async def delete(self, go: Go, id_: str, state: State) -> None:
        await go.ask("DELETE", f"{self.path}/{id_}", ok={200, 202, 204})
        await gone(go, f"{self.path}/{id_}", {"available", "deleting"})

    async def _permit(self, go: Go, id_: str, action: str, permissions: list[str]) -> None:
        body = {"permissions": permissions, "action": action}
        await go.ask("POST", f"{self.path}/{id_}/permissions/action", body)


class Endpoint:
    path = ENDPOINTS

    async def create(self, go: Go, config: Config) -> str:
        said = {
            "endpoint_service_id": config["service_id"],
            "vpc_id": config["vpc_id"],
            "subnet_id": config["network_id"],
            "enable_dns": config.get("enable_dns", True),
            "enable_whitelist": config.get("enable_whitelist", False),
        }
        if address := config.get("ip_address"):
            said["port_ip"] = address
        id_ = str((await go.ask("POST", self.path, said))["id"])
        await settled(go, f"{self.path}/{id_}", ENDPOINT, pending="creating", target=("accepted", "pendingAcceptance"))
        return id_

    async def read(self, go: Go, id_: str) -> State | None:
        found = await found_at(go, f"{self.path}/{id_}", ENDPOINT)
        if found is None:
            return None
        mapped = {"service_id": found["endpoint_service_id"], "network_id": found["subnet_id"]}
        return {**found, **mapped, "ip_address": found["ip"], "packet_id": found["marker_id"]}

    async def update(self, go: Go, id_: str, before: Config, config: Config) -> None:
        said = {"whitelist": config.get("whitelist", []), "enable_whitelist": config.get("enable_whitelist", False)}
        await go.ask("PUT", f"{self.path}/{id_}", said)

    async def delete(self, go: Go, id_: str, state: State) -> None:
        await go.ask("DELETE", f"{self.path}/{id_}", ok={200, 202, 204})
        await gone(go, f"{self.path}/{id_}", {"deleting"})


class Approval:
    """Its id is the service's; destroying it rejects."""

    async def create(self, go: Go, config: Config) -> str:
        service = str(config["service_id"])
        assert (await go.ask("GET", f"{SERVICES}/{service}"))["status"] == "available"
        for endpoint in config["endpoints"]:
            await self._decide(go, service, endpoint, "receive", "accepted")
        return service

    async def read(self, go: Go, id_: str) -> State | None:
        accepted = [
            each["id"]
            async for each in pages(go, f"{SERVICES}/{id_}/connections", "connections")
            if each["status"] == "accepted"
        ]
        return {"service_id": id_, "endpoints": accepted}

    async def update(self, go: Go, id_: str, before: Config, config: Config) -> None:
        for endpoint in set(before["endpoints"]) - set(config["endpoints"]):
            await self._decide(go, id_, endpoint, "reject", "rejected")
        for endpoint in set(config["endpoints"]) - set(before["endpoints"]):
            await self._decide(go, id_, endpoint, "receive", "accepted")

    async def delete(self, go: Go, id_: str, state: State) -> None:
        for endpoint in state["endpoints"]:
            await self._decide(go, id_, endpoint, "reject", "rejected")

    async def _decide(self, go: Go, service: str, endpoint: str, action: str, target: str) -> None:
        path = f"{SERVICES}/{service}/connections"
        await go.ask("POST", f"{path}/action", {"action": action, "endpoints": [endpoint]})

        async def ask() -> bool:
            (row,) = (await go.ask("GET", f"{path}?id={endpoint}"))["connections"]
            assert row["status"] in {"creating", "pendingAcceptance", target}, row
            return bool(row["status"] == target)

        await until(f"the connection to be {target}", ask)


async def pages(go: Go, path: str, name: str) -> AsyncIterator[Any]:
    """Until one is empty."""
    offset = 0
    while some := (await go.ask("GET", f"{path}?limit=10&offset={offset}"))[name]:
        for each in some:
            yield each
        offset += len(some)


async def gone(go: Go, path: str, pending: set[str]) -> None:
    """Any other status than these aborts a destroy."""

    async def ask() -> bool:
        if await go.status(path) == 404:
            return True
        status = (await go.ask("GET", path, ok={200, 404})).get("status")
        assert status in {None, *pending}, f"{path} is {status}"
        return False

    await until(f"{path} to be gone", ask)
