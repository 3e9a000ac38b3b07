"""The eight steps. Each does what it says on real parts and raises Failed when what it sees is not what it tells."""

import asyncio
import base64
import ipaddress
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.standalone.demo.narrator import Narrator
from services.standalone.demo.stage import Actor, Failed, Sidegate, Vpc, wait_for
from services.standalone.demo.traffic import expected_digest
from sidegate.client import Client
from sidegate.credentials import Credential

MACHINE = "10.0.0.10"
SOURCES = ipaddress.ip_network("198.19.128.0/17")
FILE_BYTES = 300_000_000
FILE_RATE = 100_000_000


def expect(truth: object, otherwise: str) -> None:
    if not truth:
        raise Failed(otherwise)


class Story:
    """Told in order; each step leaves what the next one needs."""

    def __init__(self, narrator: Narrator, sidegate: Sidegate, shop: Vpc, payments: Vpc) -> None:
        self.narrator, self.sidegate, self.shop, self.payments = narrator, sidegate, shop, payments
        self.accepted_position = 0

    def sidegate_says(self, account: str, *arguments: str) -> Any:
        """Runs and shows a command of the command line."""
        self.narrator.command(account, arguments)
        return self.sidegate.cli(account, *arguments)

    def tell(self) -> None:
        self.two_equal_networks()
        self.publish()
        self.request()
        self.accept()
        self.one_way_only()
        self.reject_and_accept_again()
        self.kill_the_gateway()
        self.read_the_log()

    # 1
    def two_equal_networks(self) -> None:
        self.narrator.step("Two private networks with the same addresses")
        self.subnets = {vpc.name: self._network(vpc) for vpc in (self.shop, self.payments)}
        self.server = self.payments.start("serve", MACHINE, 8080)
        self.server.hear()
        self.narrator.tell(f"an HTTP server runs at {MACHINE}:8080 in payments; the client in shop is {MACHINE} too")
        for vpc in (self.shop, self.payments):
            self.narrator.lines([f"routes of {vpc.name}:", *(f"  {route}" for route in vpc.routes().splitlines())])
        missing = self.shop.ask("attempt", "10.0.0.20", 8080, 0.5)["outcome"]
        expect(missing != "connected", "shop reached an address that nobody gave it")
        self.narrator.measured("no route leads from one to the other")

    def _network(self, vpc: Vpc) -> str:
        name = vpc.name
        made = self.sidegate_says(name, "vpc", "create", name, "--cidr", "10.0.0.0/24")
        subnet = self.sidegate_says(name, "subnet", "create", "main", "--vpc", made["id"], "--cidr", "10.0.0.0/24")
        self.sidegate_says("operator", "attachment", "create", "--vpc", made["id"], "--netns", name)
        vpc.give_address(f"{MACHINE}/24")
        self.sidegate_says(
            name, "port", "create", "--subnet", subnet["id"], "--holder", "machine/main", "--ip", MACHINE
        )
        return str(subnet["id"])

    # 2
    def publish(self) -> None:
        self.narrator.step("payments publishes an endpoint service and permits shop")
        where = ("--vpc", "payments", "--backend", MACHINE, "--port", "80:8080/tcp")
        self.service = self.sidegate_says("payments", "service", "create", "web", *where, "--approval")
        self.sidegate_says("payments", "service", "permit", self.service["id"], "iam:domain::shop")
        self.narrator.measured(
            f"{self.service['full_name']} is {self.service['state']}; each connection needs approval"
        )

    # 3
    def request(self) -> None:
        self.narrator.step("shop requests an endpoint")
        wanted = ("--service", self.service["full_name"], "--subnet", self.subnets["shop"])
        self.endpoint = self.sidegate_says("shop", "endpoint", "create", *wanted)
        self.address = self.endpoint["address"]
        self.narrator.measured(
            f"it has the address {self.address} of shop's own subnet and is {self.endpoint['state']}"
        )
        expect(self.endpoint["state"] == "pendingAcceptance", "the endpoint does not wait for approval")
        tried = self.shop.ask("attempt", self.address, 80, 1.0)
        expect(tried["outcome"] == "timed out", f"a connection attempt before approval {tried['outcome']}")
        self.narrator.measured(f"a connection attempt timed out after {tried['milliseconds']:.0f} ms")

    # 4
    def accept(self) -> None:
        self.narrator.step("payments sees the connection and accepts")
        seen = self.sidegate_says("payments", "connection", "list", self.service["id"])
        self.narrator.lines(f"{key}: {value}" for key, value in seen[0].items() if value)
        told = set(seen[0]) & {"vpc_id", "subnet_id", "address", "project", "port_id"}
        expect(not told, f"the provider is told of the consumer's network: {told}")
        milliseconds = asyncio.run(self._first_byte_after_accept())
        self.narrator.measured(f"{milliseconds:.1f} ms from the accept call to the first HTTP response")
        self.accepted_position = self._gateway_position()
        self._second_service()

    async def _first_byte_after_accept(self) -> float:
        async with self._client("payments") as client:
            await client.connections.get(self.service["id"], self.endpoint["id"])  # the channel is open from here on
            client_process = self.shop.start("first-byte", self.address, 80, 30)
            await asyncio.to_thread(client_process.hear)
            begun = time.monotonic_ns()
            await client.connections.accept(self.service["id"], self.endpoint["id"])
            answer = await asyncio.to_thread(client_process.hear)
        expect(answer["status"] == 200, f"the server answered {answer}")
        return float(answer["at"] - begun) / 1e6

    def _second_service(self) -> None:
        """A second service without approval: measured from the create call."""
        where = ("--vpc", "payments", "--backend", MACHINE, "--port", "80:8080/tcp")
        service = self.sidegate_says("payments", "service", "create", "open", *where)
        self.sidegate_says("payments", "service", "permit", service["id"], "iam:domain::shop")
        milliseconds = asyncio.run(self._first_byte_after_create(service["id"]))
        self.narrator.measured(f"{milliseconds:.1f} ms from the create call of another endpoint, without approval")

    async def _first_byte_after_create(self, service: str) -> float:
        async with self._client("shop") as client:
            address = "10.0.0.77"
            await client.endpoints.get(self.endpoint["id"])  # the channel is open from here on
            client_process = self.shop.start("first-byte", address, 80, 30)
            await asyncio.to_thread(client_process.hear)
            begun = time.monotonic_ns()
            await client.endpoints.create(service=service, subnet_id=self.subnets["shop"], address=address)
            answer = await asyncio.to_thread(client_process.hear)
        return float(answer["at"] - begun) / 1e6

    def _client(self, account: str) -> Client:
        ready = self.sidegate.ready
        registry, endpoint = ready["registry"]["grpc"], ready["endpoint"]["grpc"]
        credential, ca = Credential.read(Path(ready["credential"])), Path(ready["ca"]).read_bytes()
        return Client(registry, endpoint, credential=credential, ca=ca, account=account, project="default")

    def _gateway_position(self) -> int:
        return int(self.sidegate.cli("operator", "gateway", "status")["position"])

    # 5
    def one_way_only(self) -> None:
        self.narrator.step("One way, and only the published port")
        self.shop.ask("first-byte", self.address, 80, 5)
        request = self.server.hear_until("source")
        while request["path"] != "/":
            request = self.server.hear_until("source")
        source = request["source"]
        expect(ipaddress.ip_address(source) in SOURCES, f"the server saw {source}")
        self.narrator.measured(f"the server's log shows the source {source}, in {SOURCES}")
        for vpc, address, port, what in (
            (self.payments, source, 80, f"payments to {source}, the address that it sees"),
            (self.payments, self.address, 80, f"payments to {self.address}, the endpoint's address in shop"),
            (self.shop, self.address, 81, f"shop to {self.address}:81, a port that is not published"),
        ):
            tried = vpc.ask("attempt", address, port, 0.7)["outcome"]
            expect(tried != "connected", f"{what} connected")
            self.narrator.measured(f"{what}: {tried}")

    # 6
    def reject_and_accept_again(self) -> None:
        self.narrator.step("payments rejects, and accepts again")
        connection = self.shop.start("hold", self.address, 80)
        connection.hear_until("established")
        milliseconds = asyncio.run(self._last_tick_after_reject(connection))
        self.narrator.measured(
            f"the established connection's last byte came {milliseconds:.1f} ms after the reject call"
        )
        tried = self.shop.ask("attempt", self.address, 80, 0.7)["outcome"]
        self.narrator.measured(f"a new connection: {tried}")
        expect(tried == "timed out", "a rejected endpoint let a connection through")
        milliseconds = asyncio.run(self._first_byte_after_accept())
        self.narrator.measured(f"accepted again: {self.address} serves again, {milliseconds:.1f} ms after the call")

    async def _last_tick_after_reject(self, connection: Actor) -> float:
        async with self._client("payments") as client:
            await client.connections.get(self.service["id"], self.endpoint["id"])
            begun = time.monotonic_ns()
            await client.connections.reject(self.service["id"], self.endpoint["id"])
        last = await asyncio.to_thread(connection.hear_until, "last")
        return float(last["last"] - begun) / 1e6

    # 7
    def kill_the_gateway(self) -> None:
        self.narrator.step("The gateway agent is killed with -9 during a download")
        download = self.shop.start("download", self.address, 80, FILE_BYTES, FILE_RATE)
        download.hear_until("received")
        killed = self.sidegate.ready["pids"]["gateway"]
        os.kill(killed, signal.SIGKILL)
        started = wait_for("the gateway agent to come back", lambda: self._new_gateway(killed))
        done = download.hear_until("sha256")
        whole = done["bytes"] == FILE_BYTES and done["sha256"] == expected_digest(FILE_BYTES)
        expect(whole, f"the download is damaged: {done}")
        self.narrator.tell(f"process {killed} was killed; its supervisor started {started}")
        self.narrator.measured(f"{FILE_BYTES:,} bytes arrived, SHA-256 {done['sha256'][:16]}… is the sender's")

    def _new_gateway(self, old: int) -> int | None:
        pid = self.sidegate.ready["pids"].get("gateway")
        return pid if pid not in (None, old) else None

    # 8
    def read_the_log(self) -> None:
        self.narrator.step("The audit log: who did what, replayed, and verified")
        records = self.sidegate_says("operator", "audit", "list", "--limit", "200")
        self.narrator.lines(
            f"{each['time']}  {each['who']:<20} {each['what']:<36} {each['resource']}" for each in records
        )
        replay = self.sidegate_says("operator", "audit", "replay", "--compare")
        expect(replay["equal"], f"the replayed table differs from the kernel's: {replay['difference']}")
        self.narrator.measured(f"{replay['events']} events replayed into an empty table: equal to the kernel's")
        position = str(self.accepted_position)
        then = self.sidegate_says("operator", "audit", "replay", "--at", position)
        self.narrator.tell(f"the table as it was at step 4, at position {position}:")
        self.narrator.lines(map(_entry, then["entries"]))
        self._verify()

    def _verify(self) -> None:
        verified = self.sidegate_says("operator", "audit", "verify")
        for log in verified:
            expect(log["ok"], f"the log of {log['log']} does not verify: {log}")
            self.narrator.measured(f"{log['log']}: {log['records']} records, chain verified to {log['head'][:16]}…")
        copies = self.sidegate.data / "copies"
        self.sidegate_says("operator", "audit", "export", str(copies))
        altered = copies / "endpoint.jsonl"
        position = flip_one_byte(altered)
        self.narrator.command("operator", ("audit", "verify", str(altered)))
        done = self.sidegate.try_cli("operator", "audit", "verify", str(altered))
        expect(done.returncode == 1, "a flipped byte was not noticed")
        found = _first_bad(done.stdout)
        expect(found == position, f"a byte was flipped in position {position}, verification named {found}")
        self.narrator.measured(f"one byte flipped in a copy: verification names position {found}")


def flip_one_byte(path: Path) -> int:
    """Alters one byte of an event's data in the middle of an exported log; gives the event's position."""
    lines = path.read_text().splitlines()
    at = len(lines) // 2
    record = json.loads(lines[at])
    data = bytearray(base64.b64decode(record["data"]))
    data[len(data) // 2] ^= 1
    record["data"] = base64.b64encode(bytes(data)).decode()
    lines[at] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n")
    return int(record["position"])


def _first_bad(output: str) -> int | None:
    return next((log["position"] for log in json.loads(output) if not log["ok"]), None)


def _entry(entry: Mapping[str, Any]) -> str:
    (kind, facts), *_ = ((key, value) for key, value in entry["entry"].items() if value)
    return f"{kind}: " + ", ".join(f"{key}={value}" for key, value in facts.items() if value)
