"""Maps as memory of this process: words that are read and written at once, and elements that others fill."""

import ctypes
import mmap
from typing import NamedTuple, Self

from services.gateway_agent.dataplane.libbpf import WORD, Map


class Pair(NamedTuple):
    """A 64-bit word by its halves."""

    low: int
    high: int

    @classmethod
    def of(cls, number: int) -> Self:
        return cls(number & 0xFFFFFFFF, number >> 32)

    @property
    def number(self) -> int:
        return self.low | self.high << 32


class Words:
    """An mmapable array of 64-bit words, each read and written with one load or store."""

    def __init__(self, array: Map) -> None:
        self._memory = mmap.mmap(array.fd, -(-array.max_entries * WORD // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._words = memoryview(self._memory).cast("Q")

    def __getitem__(self, index: int) -> Pair:
        return Pair.of(self._words[index])

    def __setitem__(self, index: int, pair: Pair) -> None:
        self._words[index] = (pair.low & 0xFFFFFFFF) | (pair.high & 0xFFFFFFFF) << 32

    def close(self) -> None:
        self._words.release()
        self._memory.close()


class Window:
    """The elements of an mmapable array as memory."""

    def __init__(self, array: Map) -> None:
        size = array.max_entries * (-(-array.entry_size // WORD) * WORD)
        self._memory = mmap.mmap(array.fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._view = (ctypes.c_char * size).from_buffer(self._memory)
        self.address = ctypes.addressof(self._view)

    def close(self) -> None:
        del self._view
        self._memory.close()
