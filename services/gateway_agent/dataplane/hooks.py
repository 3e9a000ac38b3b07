"""The program on devices by TCX (Linux 6.6): before all filters, and cheaper than one.

It is there beside the filter, which stays what marks a device and what guards it where there is no TCX. A hook is a
link that is pinned, so that it outlives the agent; it goes with its device, and with its pin.
"""

import ctypes
import os
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from errno import EBUSY, EEXIST, EINVAL, ENOENT, ENOLINK
from functools import cache
from pathlib import Path

import structlog

from services.gateway_agent.dataplane.libbpf import library as libbpf

INGRESS = 46  # BPF_TCX_INGRESS
BEFORE = 1 << 3  # BPF_F_BEFORE: all that are there
_SIGNATURES: dict[str, tuple[type, list[type]]] = {
    "bpf_link_create": (c_int, [c_int, c_int, c_int, c_void_p]),
    "bpf_link_update": (c_int, [c_int, c_int, c_void_p]),
    "bpf_obj_get": (c_int, [c_char_p]),
    "bpf_obj_pin": (c_int, [c_int, c_char_p]),
}

log = structlog.get_logger(__name__)


class _LinkOptions(ctypes.Structure):
    """struct bpf_link_create_opts of bpf/bpf.h, with what follows as nothing."""

    _fields_ = (("sz", c_size_t), ("flags", c_uint32), ("rest", ctypes.c_char * 44))


class Hooks:
    """Those of one gateway, by index of the device; `directory` is where they are pinned."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, index: int, program_fd: int) -> None:
        """Puts the program there, or in the place of an earlier one, between two packets. Without TCX nothing."""
        if not self._replace(index, program_fd):
            self.remove(index)  # the link of a device that went away and had the same index
            self._create(index, program_fd)

    def remove(self, index: int) -> None:
        self._pin(index).unlink(missing_ok=True)

    def _pin(self, index: int) -> Path:
        return self._directory / f"tcx_{index}"

    def _replace(self, index: int, program_fd: int) -> bool:
        link = _library().bpf_obj_get(str(self._pin(index)).encode())
        if link < 0:
            return False
        try:
            result: int = _library().bpf_link_update(link, program_fd, None)
        finally:
            os.close(link)
        if result not in (0, -ENOLINK):
            raise OSError(-result, f"replacing the program on device {index}: {os.strerror(-result)}")
        return result == 0

    def _create(self, index: int, program_fd: int) -> None:
        options = _LinkOptions(sz=ctypes.sizeof(_LinkOptions), flags=BEFORE)
        link = _library().bpf_link_create(program_fd, index, INGRESS, ctypes.byref(options))
        if link < 0:
            if link not in (-EINVAL, -EBUSY):  # EINVAL: a kernel that does not know TCX
                raise OSError(-link, f"putting the program on device {index}: {os.strerror(-link)}")
            log.debug("no TCX on this machine", device=index)
            return
        try:
            result = _library().bpf_obj_pin(link, str(self._pin(index)).encode())
            if result not in (0, -EEXIST, -ENOENT):
                raise OSError(-result, f"pinning the hook of device {index}: {os.strerror(-result)}")
        finally:
            os.close(link)


@cache
def _library() -> ctypes.CDLL:
    """With what is asked for here."""
    found = libbpf()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found
