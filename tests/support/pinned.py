"""Maps that a gateway has pinned, counted from outside: by another process than the agent, or while there is none."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_uint32
from pathlib import Path
from struct import Struct

from services.gateway_agent.dataplane.libbpf import Map, library
from services.gateway_agent.dataplane.map_sizes import SIZES
from services.gateway_agent.dataplane.session_maps import SIZES as SESSION_SIZES
from services.gateway_agent.dataplane.session_maps import USAGE

HASH, PERCPU_HASH, LPM_TRIE = 1, 5, 11  # BPF_MAP_TYPE_
COUNTED = (HASH, PERCPU_HASH, LPM_TRIE)  # arrays always have all of their elements
_INFO = Struct("=IIIII")  # of struct bpf_map_info: type, id, key and value size, max_entries


def entries(directory: Path) -> dict[str, int]:
    """How many entries each of the program's maps has that is no array."""
    counts = {}
    for name in sorted(SIZES.keys() | SESSION_SIZES.keys()):
        with _opened(directory / name) as (kind, found):
            if kind in COUNTED:
                counts[found.name] = sum(len(batch) for batch in found.batches())
    return counts


def counted_sessions(directory: Path) -> int:
    """What the program has counted for all endpoints, those that are gone too."""
    with _opened(directory / "usage") as (_, found):
        return sum(USAGE.unpack(value)[0] for _, value in found.items())


@contextmanager
def _opened(pin: Path) -> Iterator[tuple[int, Map]]:
    fd = library().bpf_obj_get(str(pin).encode())
    assert fd >= 0, f"{pin} cannot be opened"
    try:
        info, length = ctypes.create_string_buffer(_INFO.size), c_uint32(_INFO.size)
        assert library().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(length)) == 0
        kind, _, key_size, value_size, max_entries = _INFO.unpack(info.raw)
        cpus = library().libbpf_num_possible_cpus() if kind == PERCPU_HASH else 1
        yield kind, Map(pin.name, fd, key_size, value_size, max_entries, cpus)
    finally:
        os.close(fd)
