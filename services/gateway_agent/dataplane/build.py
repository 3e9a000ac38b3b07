"""Compiles the forwarding program with the compiler that the PyPI package `ziglang` brings; run as a module."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

BPF = Path(__file__).with_name("bpf")
OBJECT, PLAIN_OBJECT = BPF / "forward.bpf.o", BPF / "forward.plain.bpf.o"
OBJECTS = (OBJECT, PLAIN_OBJECT)
"""The forwarding program twice: reading the kernel's own skb, which takes BTF and Linux 6.2, and for any since 5.14."""

FLAGS = (
    "-target", "bpfel-freestanding-none", "-mcpu=v3", "-O2",
    "-g",  # libbpf reads the map definitions from BTF, which clang writes with the debug information
    "-fno-asynchronous-unwind-tables",
    "-Wall", "-Wextra", "-Werror",
    "-nostdinc", "-isystem", "vendor",  # the system's headers may be absent or of another version
)  # fmt: skip


def sources_digest() -> str:
    """The hash of all that the object depends on; it is written into the object itself."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for path in sorted([*BPF.glob("*.c"), *BPF.rglob("*.h")]):
        digest.update(f"{path.relative_to(BPF)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def is_built() -> bool:
    digest = sources_digest().encode()
    return all(path.exists() and digest in path.read_bytes() for path in OBJECTS)


def build() -> bool:
    """Compiles if a source has changed; answers whether it did."""
    if is_built():
        return False
    for path in OBJECTS:
        flags = ("-DREADS_SKB",) if path == OBJECT else ()
        unfinished = path.with_suffix(f".{os.getpid()}.o")  # two builds at once must not write one file
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *flags, f'-DSOURCES="{sources_digest()}"']
        subprocess.run([*command, "-c", "forward.bpf.c", "-o", unfinished.name], cwd=BPF, check=True)
        unfinished.replace(path)
    return True


if __name__ == "__main__" and not is_built():
    print(f"setup: building {OBJECT.name}", flush=True)
    build()
    verification = [sys.executable, "-m", "services.gateway_agent.dataplane.verification"]
    sys.exit(subprocess.run(verification, check=False).returncode)
