"""Network namespaces for tests: made with random names, entered by threads, tidied away whatever happens.

    with namespaces.make("shop", "payments") as (shop, payments):
        ...                                  # something attaches sidegate0
        shop.add_address("10.0.0.10/24")     # as the tenant does, on the device sidegate0
        listener = shop.tcp_listener("10.0.0.10", 8080)
        connection = shop.tcp_socket("10.0.0.10")

Sockets belong to the namespace for good, wherever they are used afterwards: also in the test's own event loop.
"""

import ctypes
import fcntl
import json
import os
import secrets
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

RUN = Path("/run/netns")
VARIABLE = "SIDEGATE_TEST_NAMESPACES"
RUN_PREFIX = f"sgt-{os.environ.setdefault(VARIABLE, secrets.token_hex(3))}"
"""Of every namespace of this test run; its workers inherit it."""
PREFIX = RUN_PREFIX + os.environ.get("PYTEST_XDIST_WORKER", "")[2:]
DEVICE = "sidegate0"
CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO = 0x17, 0x19, 0x1F, 0x24

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace that plays a VPC."""

    name: str

    def run(self, work: Callable[[], Result]) -> Result:
        """Calls `work` on a thread that has entered the namespace and ends there."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._entered, work).result()

    def ip(self, *arguments: str) -> str:
        """The output of `ip` with these arguments inside."""
        return _ip("-n", self.name, *arguments)

    def set_sysctl(self, name: str, value: str) -> None:
        """Writes a sysctl, for instance net.ipv4.ip_forward."""
        self.run(lambda: Path("/proc/sys", *name.split(".")).write_text(value))

    def add_address(self, address: str, device: str = DEVICE) -> None:
        at_once = ("nodad",) if ":" in address else ()
        self.ip("address", "add", address, "dev", device, *at_once)

    def open_socket(self, kind: socket.SocketKind, family: int = socket.AF_INET, protocol: int = 0) -> socket.socket:
        """A non-blocking socket that lives in the namespace."""
        made = self.run(lambda: socket.socket(family, kind, protocol))
        made.setblocking(False)
        return made

    def tcp_socket(self, source: str = "", port: int = 0) -> socket.socket:
        made = self.open_socket(socket.SOCK_STREAM, family_of(source))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((source, port))
        return made

    def tcp_listener(self, address: str, port: int) -> socket.socket:
        made = self.tcp_socket(address, port)
        made.listen(1024)
        return made

    def udp_socket(self, address: str = "", port: int = 0) -> socket.socket:
        made = self.open_socket(socket.SOCK_DGRAM, family_of(address))
        made.bind((address, port))
        return made

    def packet_socket(self, ethertype: int, device: str = DEVICE) -> socket.socket:
        """Raw Ethernet frames of one type on the device; `ethertype` 3 is all of them, sent ones included."""
        made = self.open_socket(socket.SOCK_RAW, socket.AF_PACKET, socket.htons(ethertype))
        made.bind((device, ethertype))
        return made

    def mac(self, device: str = DEVICE) -> bytes:
        (link,) = json.loads(self.ip("-json", "link", "show", "dev", device))
        return bytes.fromhex(link["address"].replace(":", ""))

    def devices(self) -> set[str]:
        return {link["ifname"] for link in json.loads(self.ip("-json", "link", "show"))}

    def packets(self, direction: str, device: str = DEVICE) -> int:
        """How many the device has sent ("tx") or received ("rx")."""
        (link,) = json.loads(self.ip("-json", "-statistics", "link", "show", "dev", device))
        return int(link["stats64"][direction]["packets"])

    def counter(self, protocol: str, name: str) -> int:
        """A counter of the namespace's stack, as in /proc/net/snmp: counter("Tcp", "InCsumErrors")."""
        lines = self.run(Path("/proc/thread-self/net/snmp").read_text).splitlines()
        names, values = [line.split()[1:] for line in lines if line.startswith(f"{protocol}:")]
        return int(values[names.index(name)])

    def offload(self, on: bool, device: str = DEVICE) -> None:
        """Segmentation and checksums of what is sent: by the device (the default), or by the stack."""
        with self.udp_socket() as inside:
            _set_offload(inside, device, on)

    def exists(self) -> bool:
        return (RUN / self.name).exists()

    def delete(self) -> None:
        """Processes and sockets that are still inside keep it alive, nameless."""
        _ip("netns", "delete", self.name)

    def _entered(self, work: Callable[[], Result]) -> Result:
        with (RUN / self.name).open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"entering network namespace {self.name}")
        return work()


def create(label: str = "vpc") -> Namespace:
    """A new namespace named after this run; whoever asks for it deletes it. See `make`."""
    namespace = Namespace(f"{PREFIX}-{label}-{secrets.token_hex(2)}")
    _ip("netns", "add", namespace.name)
    namespace.ip("link", "set", "lo", "up")
    return namespace


def create_again(namespace: Namespace) -> None:
    """Another namespace by the name of one that was deleted."""
    _ip("netns", "add", namespace.name)


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextmanager
def make(*labels: str) -> Iterator[Sequence[Namespace]]:
    """As many namespaces as labels; they are deleted at the end, with the devices that reach into them."""
    made: list[Namespace] = []
    try:
        made += (create(label) for label in labels)
        yield made
    finally:
        for namespace in made:
            delete_if_there(namespace)


def delete_if_there(namespace: Namespace) -> None:
    """With the gateway's device first: a socket that was cut off before it was closed keeps it for minutes."""
    if not namespace.exists():
        return
    if DEVICE in namespace.devices():
        with suppress(subprocess.CalledProcessError):  # its other end went first, and took it along
            namespace.ip("link", "delete", DEVICE)
    namespace.delete()


@dataclass(frozen=True, slots=True)
class HostDevice:
    """A network device outside the namespaces; by its alias a gateway of this machine says whose it is."""

    name: str
    alias: str
    mac: bytes
    up: bool
    flags: frozenset[str]


def host_devices() -> list[HostDevice]:
    return [
        HostDevice(
            name=link["ifname"],
            alias=link.get("ifalias", ""),
            mac=bytes.fromhex(link.get("address", "").replace(":", "")),
            up="UP" in link["flags"],
            flags=frozenset(link["flags"]),
        )
        for link in json.loads(_ip("-json", "link", "show"))
    ]


def host_tc(*arguments: str) -> str:
    return subprocess.run(["tc", *arguments], check=True, capture_output=True, text=True).stdout


def host_bridge(*arguments: str) -> str:
    return subprocess.run(["bridge", *arguments], check=True, capture_output=True, text=True).stdout


def host_ip(*arguments: str) -> str:
    """The output of `ip` outside the namespaces."""
    return _ip(*arguments)


def delete_host_device_if_there(name: str) -> None:
    """It may be going at this moment, with the namespace that its other end is in."""
    subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)


def shut_host_device(name: str) -> None:
    _ip("link", "set", name, "down")


def offload_host_device(name: str, on: bool) -> None:
    """As Namespace.offload, for a device outside the namespaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        _set_offload(outside, name, on)


def _set_offload(any_socket: socket.socket, device: str, on: bool) -> None:
    for command in (ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO):
        value = ctypes.create_string_buffer(struct.pack("=II", command, on))
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("=16sQ16x", device.encode(), ctypes.addressof(value)))


def require_root() -> None:
    assert os.geteuid() == 0, "this test makes network namespaces and loads BPF programs: run it as root"


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
