"""Asks this kernel's verifier for its verdict on the forwarding program, and what it had to look at; run as a module.

Nothing is pinned or attached: what is loaded goes at once.
"""

import ctypes
import re
import sys
from collections.abc import Iterator, Sequence
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass
from errno import ENOENT, EPERM
from functools import cache
from pathlib import Path
from struct import Struct

from services.gateway_agent.dataplane.build import OBJECT, OBJECTS
from services.gateway_agent.dataplane.libbpf import BpfError, LibbpfMissing, _maps_of, _messages
from services.gateway_agent.dataplane.libbpf import library as libbpf

STATISTICS = 4  # BPF_LOG_STATS: a summary where it accepts, and the whole log where it refuses
LONGEST_LOG = 1 << 24
LONGEST_REASON = 2000
_PROCESSED = re.compile(r"processed (\d+) insns \(limit (\d+)\) max_states_per_insn (\d+) total_states (\d+)")
_INFO = Struct("=20xI")  # of struct bpf_prog_info: xlated_prog_len
_INSTRUCTION = 8  # bytes
_SIGNATURES: dict[str, tuple[type, list[type]]] = {
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__set_log_buf": (c_int, [c_void_p, c_char_p, c_size_t]),
    "bpf_program__set_log_level": (c_int, [c_void_p, c_uint32]),
}
PREALLOCATED = ("sessions", "sessions6")  # maps of tens of megabytes, which need not be large for the verifier


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one program that was accepted: its instructions as translated, how many the verifier went through, counting
    each as often as it came by, out of how many that it may, and in how many different states.
    """

    program: str
    instructions: int
    processed: int
    limit: int
    states: int

    def __str__(self) -> str:
        return (
            f"the verifier accepts {self.program}: {self.instructions:,} instructions, "
            f"{self.processed:,} of {self.limit:,} processed in {self.states:,} states"
        )


def verify(path: Path = OBJECT) -> Sequence[Verdict]:
    """Of every program in the object, in order. Raises BpfError with the verifier's reason, LibbpfMissing."""
    with _messages() as said:
        handle = _library().bpf_object__open_file(str(path).encode(), None)
        if not handle:
            raise BpfError(ctypes.get_errno() or ENOENT, f"opening {path}: {''.join(said)}")
        try:
            for each in _maps_of(handle):
                if _library().bpf_map__name(each).decode() in PREALLOCATED:
                    _library().bpf_map__set_max_entries(each, 1)
            logs = {program: _listen(program) for program in _programs(handle)}
            result = _library().bpf_object__load(handle)
            if result < 0:
                told = "".join(log.value.decode(errors="replace") for log in logs.values())
                reason = (told or "".join(said))[-LONGEST_REASON:]
                raise BpfError(-result, f"{path.name} is refused: {reason}")
            return [_verdict(program, log.value.decode()) for program, log in logs.items()]
        finally:
            _library().bpf_object__close(handle)


@cache
def _library() -> ctypes.CDLL:
    """With what is asked for here and nowhere else."""
    found = libbpf()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def _programs(handle: int) -> Iterator[int]:
    each = _library().bpf_object__next_program(handle, None)
    while each:
        yield each
        each = _library().bpf_object__next_program(handle, each)


def _listen(program: int) -> "ctypes.Array[ctypes.c_char]":
    log = ctypes.create_string_buffer(LONGEST_LOG)
    _library().bpf_program__set_log_level(program, STATISTICS)
    _library().bpf_program__set_log_buf(program, log, LONGEST_LOG)
    return log


def _verdict(program: int, log: str) -> Verdict:
    name = _library().bpf_program__name(program).decode()
    found = _PROCESSED.search(log)
    if found is None:
        raise BpfError(ENOENT, f"the verifier says nothing of {name}: {log[-LONGEST_REASON:]}")
    info, length = ctypes.create_string_buffer(_INFO.size), c_uint32(_INFO.size)
    _library().bpf_obj_get_info_by_fd(_library().bpf_program__fd(program), info, ctypes.byref(length))
    (translated,) = _INFO.unpack(info.raw)
    processed, limit, _, states = map(int, found.groups())
    return Verdict(name, translated // _INSTRUCTION, processed, limit, states)


def main() -> int:
    """Prints of each object the verdict on its dearest program; 1 where one is refused.

    Where the kernel cannot be asked, nothing is said.
    """
    try:
        for path in OBJECTS:
            dearest = max(verify(path), key=lambda verdict: verdict.processed)
            print(f"setup: {path.name}: {dearest}", flush=True)
    except BpfError as error:
        if error.errno == EPERM:
            return 0
        print(f"setup: {error.strerror}", file=sys.stderr)
        return 1
    except LibbpfMissing:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
