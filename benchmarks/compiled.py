"""What the benchmarks have in C, compiled by what the PyPI package `ziglang` brings when its source has changed."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from services.gateway_agent.dataplane.build import BPF, FLAGS

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
NATIVE = ("-O2", "-Wall", "-Wextra", "-Werror")


def load() -> str:
    """The path of the load generator for TCP."""
    return _made("load.c", "bench-load", NATIVE)


def packets() -> str:
    """The path of the generator of raw packets."""
    return _made("packets.c", "bench-packets", NATIVE)


def far_end() -> str:
    """The path of the BPF object that generated packets end at, compiled as the product's own is."""
    return _made("far_end.bpf.c", "bench-far-end", (*FLAGS, "-c"))


def _made(source: str, name: str, flags: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(flags).encode() + (HERE / source).read_bytes()).hexdigest()[:16]
    made = BUILD / f"{name}-{digest}"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        part = made.with_suffix(f".{os.getpid()}")
        compiler = [sys.executable, "-m", "ziglang", "cc", *flags]
        # The flags of BPF name the vendored headers by a relative path.
        subprocess.run([*compiler, "-o", str(part), str(HERE / source)], cwd=BPF, check=True)
        part.replace(made)
    return str(made)
