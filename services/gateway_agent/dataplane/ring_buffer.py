"""A BPF ring buffer read by an event loop: what the program writes is handed on as soon as it is there."""

import asyncio
import ctypes
from collections.abc import Callable
from ctypes import c_int, c_size_t, c_void_p
from typing import Self

from services.gateway_agent.dataplane.libbpf import BpfError, Map, library

AT_ONCE = 1024
"""Records that are handed on before others of the event loop have their turn."""

_TAKE = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)


class RingBuffer:
    """Calls `heard` with the bytes of every record, in order, until it is closed. Of an event loop that runs.

    What `heard` raises goes to the event loop's exception handler; the record counts as read.
    """

    def __init__(self, ring: Map, heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self._callback = _TAKE(self._take)  # must live as long as the buffer
        self._loop = asyncio.get_running_loop()
        self._handle = library().ring_buffer__new(ring.fd, self._callback, None, None)
        if not self._handle:
            raise BpfError(ctypes.get_errno(), f"reading ring buffer {ring.name}")
        self._descriptor: int = library().ring_buffer__epoll_fd(self._handle)
        self._loop.add_reader(self._descriptor, self._read)
        self._loop.call_soon(self._read)  # what was written before is no event

    def close(self) -> None:
        """What is not read by now stays in the map."""
        if self._handle:
            self._loop.remove_reader(self._descriptor)
            library().ring_buffer__free(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        if not self._handle:
            return
        self._left = AT_ONCE
        library().ring_buffer__consume(self._handle)
        if self._left <= 0:
            self._loop.call_soon(self._read)

    def _take(self, _context: int, data: int, size: int) -> int:
        """Answers whether to stop; a record that was handed on is not handed on again."""
        try:
            self._heard(ctypes.string_at(data, size))
        except Exception as error:  # nothing may go up through C
            self._loop.call_exception_handler(
                {"message": "a record of a ring buffer was not taken", "exception": error}
            )
        self._left -= 1
        return -1 if self._left <= 0 else 0
