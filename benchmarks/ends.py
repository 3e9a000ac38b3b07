"""Where generated packets end: a tc program that drops and counts them, and answers SYN as a server does."""

import json
import subprocess

from benchmarks.compiled import far_end
from tests.support.namespaces import DEVICE, Namespace


def end_packets(namespace: Namespace, device: str = DEVICE) -> None:
    """From here on nothing that packets.c sends comes further than this device."""
    _tc(namespace, "qdisc", "add", "dev", device, "clsact")
    _tc(namespace, "filter", "add", "dev", device, "ingress", "bpf", "da", "obj", far_end(), "sec", "tc")


def ended(namespace: Namespace, device: str = DEVICE) -> int:
    """How many packets have ended there. A SYN that was answered has not."""
    for qdisc in json.loads(_tc(namespace, "-s", "-json", "qdisc", "show", "dev", device)):
        if qdisc["kind"] == "clsact":
            return int(qdisc["drops"])
    raise LookupError(f"{namespace.name}: nothing ends at {device}")


def _tc(namespace: Namespace, *arguments: str) -> str:
    command = ("tc", "-n", namespace.name, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
