"""libbpf through ctypes: what loading one program and editing its maps takes, and nothing more."""

import ctypes
import os
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from errno import ENOENT
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Self

BATCH = 1024
WORD = 8
LONGEST_MESSAGE = 2000
LONGEST_LOG = 1 << 22
DEBUG = 2  # a level of libbpf's messages
HEADROOM = 256
_INGRESS = Struct("=36xII")  # of struct __sk_buff: ingress_ifindex, and ifindex

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "libbpf_set_print": (c_void_p, [_PRINT]),
    "libbpf_num_possible_cpus": (c_int, []),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__type": (c_int, [c_void_p]),
    "bpf_map__key_size": (c_uint32, [c_void_p]),
    "bpf_map__value_size": (c_uint32, [c_void_p]),
    "bpf_map__max_entries": (c_uint32, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__set_pin_path": (c_int, [c_void_p, c_char_p]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_char_p, c_char_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_char_p, c_char_p, c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_char_p]),
    "bpf_map_lookup_batch": (
        c_int,
        [c_int, c_char_p, c_char_p, c_void_p, c_char_p, POINTER(c_uint32), c_void_p],
    ),
    "bpf_obj_get": (c_int, [c_char_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_char_p, POINTER(c_uint32)]),
    "bpf_prog_test_run_opts": (c_int, [c_int, c_void_p]),
    "ring_buffer__new": (c_void_p, [c_int, c_void_p, c_void_p, c_void_p]),
    "ring_buffer__epoll_fd": (c_int, [c_void_p]),
    "ring_buffer__consume": (c_int, [c_void_p]),
    "ring_buffer__free": (None, [c_void_p]),
}
_PERCPU_TYPES = frozenset({5, 6})  # BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY


class _TrialOptions(ctypes.Structure):
    """struct bpf_test_run_opts of bpf/bpf.h."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class BpfError(OSError):
    """The kernel or libbpf refused; the text holds what they said, the verifier's log included."""


class LibbpfMissing(Exception):
    """The shared library is not on this machine."""


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise LibbpfMissing("libbpf.so.1 is not there: install libbpf1 (it comes with iproute2)") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


library = _library  # for ring_buffer.py


def _checked(result: int, doing: str) -> int:
    if result < 0:
        raise BpfError(-result, f"{doing}: {os.strerror(-result)}")
    return result


@contextmanager
def _messages() -> Iterator[list[str]]:
    """What libbpf prints meanwhile, which otherwise goes to stderr."""
    said: list[str] = []
    vsnprintf = ctypes.CDLL(None).vsnprintf
    vsnprintf.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]

    def listen(level: int, text: bytes, arguments: int) -> int:
        if level < DEBUG:
            buffer = ctypes.create_string_buffer(LONGEST_LOG)  # a verifier's reason stands at the end of its log
            vsnprintf(buffer, len(buffer), text, arguments)
            said.append(buffer.value.decode(errors="replace"))
        return 0

    callback = _PRINT(listen)
    _library().libbpf_set_print(callback)
    try:
        yield said
    finally:
        _library().libbpf_set_print(_QUIET)


_QUIET = _PRINT(lambda _level, _text, _arguments: 0)


@dataclass(frozen=True)
class Map:
    """One map of a loaded object; keys and values are bytes of exactly its sizes."""

    name: str
    fd: int
    key_size: int
    entry_size: int  # of a value on one CPU
    max_entries: int
    cpus: int = 1  # how many values an entry has

    @property
    def value_size(self) -> int:
        return self.entry_size * self.cpus

    def get(self, key: bytes) -> bytes | None:
        value = ctypes.create_string_buffer(self.value_size)
        result = _library().bpf_map_lookup_elem(self.fd, self._key(key), value)
        if result == -ENOENT:
            return None
        _checked(result, f"reading map {self.name}")
        return value.raw

    def put(self, key: bytes, value: bytes) -> None:
        if len(value) != self.value_size:
            raise ValueError(f"map {self.name} takes values of {self.value_size} bytes, not {len(value)}")
        result = _library().bpf_map_update_elem(self.fd, self._key(key), value, 0)
        _checked(result, f"writing map {self.name} ({self.max_entries} entries at most)")

    def delete(self, key: bytes) -> bool:
        """Answers whether the key was there."""
        result = _library().bpf_map_delete_elem(self.fd, self._key(key))
        if result == -ENOENT:
            return False
        _checked(result, f"deleting from map {self.name}")
        return True

    def batches(self, size: int = BATCH) -> Iterator[list[tuple[bytes, bytes]]]:
        """The whole map in lists of at most `size` entries; while it changes, some may be missed."""
        keys = ctypes.create_string_buffer(size * self.key_size)
        values = ctypes.create_string_buffer(size * self.value_size)
        for count in self._read_batches(ctypes.addressof(keys), values, size):
            slices = _slices(keys, self.key_size, count), _slices(values, self.value_size, count)
            yield list(zip(*slices, strict=True))

    def key_batches(self, into: int, size: int) -> Iterator[int]:
        """The same, but for keys alone, which are written to the address `into`; each time how many."""
        return self._read_batches(into, ctypes.create_string_buffer(size * self.value_size), size)

    def _read_batches(self, keys: int, values: ctypes.Array[ctypes.c_char], size: int) -> Iterator[int]:
        position: ctypes.Array[ctypes.c_char] | None = None
        while True:
            count, following = c_uint32(size), ctypes.create_string_buffer(max(self.key_size, WORD))
            result = _library().bpf_map_lookup_batch(
                self.fd, position, following, keys, values, ctypes.byref(count), None
            )
            if result != -ENOENT:
                _checked(result, f"reading map {self.name}")
            yield count.value
            if result == -ENOENT:
                return
            position = following

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for batch in self.batches():
            yield from batch

    def _key(self, key: bytes) -> bytes:
        if len(key) != self.key_size:
            raise ValueError(f"map {self.name} takes keys of {self.key_size} bytes, not {len(key)}")
        return key


def _slices(buffer: ctypes.Array[ctypes.c_char], size: int, count: int) -> list[bytes]:
    raw = memoryview(buffer).cast("B")[: size * count]
    return [bytes(raw[start : start + size]) for start in range(0, size * count, size)]


class LoadedObject:
    """An object file in the kernel: its maps, pinned or found pinned, and its program."""

    def __init__(self, handle: int, program: str, origin: tuple[Path, Path]) -> None:
        self._handle, self._program, self._origin = handle, program, origin
        self.program_fd = self._fd_of(program)
        self.maps = {each.name: each for each in map(_describe, _maps_of(handle))}

    @classmethod
    def load(
        cls, path: Path, program: str, pins: Path, max_entries: Mapping[str, int], own: Container[str] = ()
    ) -> Self:
        """Loads `path` with every map pinned under `pins`; a map that is pinned there already is taken as it is.

        Maps that are named in `own` are made anew and not pinned: they end with the object.
        """
        with _messages() as said:
            handle = _library().bpf_object__open_file(str(path).encode(), None)
            if not handle:
                raise BpfError(ctypes.get_errno(), f"opening {path}: {_tail(said)}")
            try:
                for each in _maps_of(handle):
                    _prepare(each, pins, max_entries, own)
                _checked(_library().bpf_object__load(handle), f"loading {path}")
                return cls(handle, program, (path, pins))
            except BpfError as error:
                _library().bpf_object__close(handle)
                raise BpfError(error.errno, f"{error.strerror}: {_tail(said)}") from error

    def _fd_of(self, program: str) -> int:
        found = _library().bpf_object__find_program_by_name(self._handle, program.encode())
        return _checked(_library().bpf_program__fd(found), f"program {program}")

    def copy(self, own: Mapping[str, int]) -> Self:
        """The same once more, on the same maps but for those in `own`, which it has for itself, of these sizes."""
        path, pins = self._origin
        return self.load(path, self._program, pins, own, own)

    def try_frame(self, frame: bytes, ifindex: int) -> tuple[int, bytes]:
        """What the program makes of a frame that had come in by a device, and its verdict; no packet is sent."""
        data, out = ctypes.create_string_buffer(frame, len(frame)), ctypes.create_string_buffer(len(frame) + HEADROOM)
        context = ctypes.create_string_buffer(_INGRESS.pack(ifindex, ifindex), _INGRESS.size)
        options = _TrialOptions(
            sz=ctypes.sizeof(_TrialOptions),
            data_in=ctypes.addressof(data),
            data_size_in=len(frame),
            data_out=ctypes.addressof(out),
            data_size_out=len(out),
            ctx_in=ctypes.addressof(context),
            ctx_size_in=len(context),
            repeat=1,
        )
        _checked(_library().bpf_prog_test_run_opts(self.program_fd, ctypes.byref(options)), "trying a frame")
        return options.retval, out.raw[: options.data_size_out]

    def call(self, program: str, context: bytes) -> bytes:
        """Runs a program that is called like a system call; answers its context as it has left it."""
        memory = ctypes.create_string_buffer(context, len(context))
        options = _TrialOptions(
            sz=ctypes.sizeof(_TrialOptions), ctx_in=ctypes.addressof(memory), ctx_size_in=len(context)
        )
        _checked(_library().bpf_prog_test_run_opts(self._fd_of(program), ctypes.byref(options)), f"calling {program}")
        return memory.raw

    @property
    def tag(self) -> str:
        """The kernel's hash of the program's instructions."""
        info, length = ctypes.create_string_buffer(16), c_uint32(16)  # type, id, tag
        _checked(_library().bpf_obj_get_info_by_fd(self.program_fd, info, ctypes.byref(length)), "reading a program")
        return info.raw[8:16].hex()

    def close(self) -> None:
        """Closes every descriptor; what is pinned or attached lives on."""
        _library().bpf_object__close(self._handle)


def _maps_of(handle: int) -> Iterator[int]:
    each = _library().bpf_object__next_map(handle, None)
    while each:
        yield each
        each = _library().bpf_object__next_map(handle, each)


def _prepare(each: int, pins: Path, max_entries: Mapping[str, int], own: Container[str]) -> None:
    name = _library().bpf_map__name(each).decode()
    size = (None if name in own else pinned_size(pins / name)) or max_entries.get(name)
    if size is not None:
        _checked(_library().bpf_map__set_max_entries(each, size), f"sizing map {name}")
    if name not in own:
        _checked(_library().bpf_map__set_pin_path(each, str(pins / name).encode()), f"pinning map {name}")


def _tail(said: list[str]) -> str:
    """The end of what libbpf said: there a verifier's log gives its reason."""
    return "".join(said)[-LONGEST_MESSAGE:].strip()


def _describe(each: int) -> Map:
    library = _library()
    cpus = library.libbpf_num_possible_cpus() if library.bpf_map__type(each) in _PERCPU_TYPES else 1
    return Map(
        name=library.bpf_map__name(each).decode(),
        fd=library.bpf_map__fd(each),
        key_size=library.bpf_map__key_size(each),
        entry_size=library.bpf_map__value_size(each),
        max_entries=library.bpf_map__max_entries(each),
        cpus=cpus,
    )


def map_id(fd: int) -> int:
    """The kernel's number of a map: no other has had it since the machine started."""
    info, length = ctypes.create_string_buffer(8), c_uint32(8)  # type, id
    _checked(_library().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(length)), "reading a map")
    return int.from_bytes(info.raw[4:8], "little")


def pinned_size(pin: Path) -> int | None:
    """How many entries the map that is pinned there was made for."""
    fd = _library().bpf_obj_get(str(pin).encode())
    if fd < 0:
        return None
    try:
        info, length = ctypes.create_string_buffer(20), c_uint32(20)  # type, id, key and value size, max_entries
        _checked(_library().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(length)), f"reading {pin}")
        return int.from_bytes(info.raw[16:20], "little")
    finally:
        os.close(fd)
