"""What has passed and been refused for every endpoint, read from the kernel."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.libbpf import Map, map_id
from services.gateway_agent.dataplane.maps import COUNT, NUMBER, Counter, EndpointValue, endpoint_key
from services.gateway_agent.dataplane.session_maps import REFUSAL_KEY, TRAFFIC, USAGE
from services.gateway_agent.traffic import Traffic

PREFIX = "refused_"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Passed:
    """Reads maps that the program alone writes; every processor counts for itself."""

    def __init__(self, table: KernelTable, maps: Mapping[str, Map]) -> None:
        self._table = table
        self._endpoints = maps["endpoints"]
        self._traffic, self._usage, self._refusals = maps["traffic"], maps["usage"], maps["refusals"]

    def read(self) -> dict[str, Traffic]:
        """By endpoint."""
        slots = self._table.slots()
        refused = self._read_refusals()
        return {endpoint: self._of(slot, refused.get(slot, {})) for endpoint, slot in slots.items()}

    def counting(self) -> str:
        """Another word where the counters are others, which began at 0."""
        return f"{BOOT_ID.read_text().strip()}/{map_id(self._traffic.fd)}"

    def of(self, endpoint: str) -> Traffic | None:
        """Of one, without what was refused."""
        entry = self._table.entries.endpoint(endpoint)
        if entry is None:
            return None
        value = self._endpoints.get(endpoint_key(self._table.vpc_number(entry.vpc), entry.address))
        return None if value is None else self._of(EndpointValue.unpack(value).slot, {})

    def _of(self, slot: int, refused: Mapping[str, int]) -> Traffic:
        per_cpu = TRAFFIC.iter_unpack(self._traffic.get(NUMBER.pack(slot)) or b"")
        made, packets_in, packets_out, bytes_in, bytes_out = map(sum, zip(*per_cpu, strict=True))
        sessions, epoch, _, _ = USAGE.unpack(self._usage.get(NUMBER.pack(slot)) or bytes(USAGE.size))
        now = sessions if epoch == self._table.epoch(slot) else 0
        return Traffic(now, made, packets_in, bytes_in, packets_out, bytes_out, refused)

    def _read_refusals(self) -> Mapping[int, Mapping[str, int]]:
        found: defaultdict[int, dict[str, int]] = defaultdict(dict)
        names = list(Counter)
        for key, value in self._refusals.items():
            slot, reason = REFUSAL_KEY.unpack(key)
            found[slot][names[reason].removeprefix(PREFIX)] = sum(count for (count,) in COUNT.iter_unpack(value))
        return found
