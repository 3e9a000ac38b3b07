"""The files of the contract, as they lie on disk: a new one is found without being named."""

from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor

import sidegate.api

PACKAGE = Path(next(iter(sidegate.api.__path__)))


def contract_files() -> list[FileDescriptor]:
    """Every generated file of ours."""
    found = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("v1/*_pb2.py"))]
    modules = [import_module(".".join(("sidegate.api", *path.with_suffix("").parts))) for path in found]
    return [module.DESCRIPTOR for module in modules]
