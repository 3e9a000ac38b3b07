"""Generates `sidegate/api` from the contract: messages, gRPC stubs and their types. Run by `make protos`."""

import filecmp
import re
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped] # it ships no types

ROOT = Path(__file__).resolve().parent
OUTPUT = ROOT.parent / "sidegate" / "api"
# Foreign contracts whose Python form no package brings live beside ours, under our own import root.
FOREIGN = re.compile(r"^(import|from) (buf\.validate)", re.MULTILINE)


def sources() -> list[str]:
    ours = ROOT.glob("sidegate/**/*.proto")
    return [*sorted(str(path.relative_to(ROOT)) for path in ours), "buf/validate/validate.proto"]


def generate(into: Path) -> None:
    plugins = [f"--{kind}_out={into}" for kind in ("python", "grpc_python")]
    beside = Path(sys.executable).parent
    found = [f"--plugin={name}={beside / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    typed = [f"--mypy_out=quiet:{into}", f"--mypy_grpc_out=quiet,only_async:{into}"]
    paths = [f"-I{ROOT}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    if protoc.main(["protoc", *paths, *found, *plugins, *typed, *sources()]) != 0:
        sys.exit("protoc failed")


def adopt(made: Path, output: Path) -> None:
    """Moves what was generated under `sidegate.api`, and makes imports of foreign contracts point there."""
    shutil.rmtree(output, ignore_errors=True)
    shutil.move(made / "sidegate" / "api", output)
    shutil.move(made / "buf", output / "buf")
    for path in output.rglob("*.py*"):
        path.write_text(FOREIGN.sub(r"\1 sidegate.api.\2", path.read_text()))
    for path in output.rglob("*_pb2_grpc.py*"):
        if "Stub" not in path.read_text():
            path.unlink()
    for folder in [output, *(path for path in output.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text('"""Generated from protos/ by `make protos`; never edited."""\n')


def is_fresh() -> bool:
    """Whether what is committed is what the contract generates."""
    with tempfile.TemporaryDirectory() as scratch:
        made, fresh = Path(scratch) / "made", Path(scratch) / "api"
        made.mkdir()
        generate(made)
        adopt(made, fresh)
        names = {str(path.relative_to(fresh)) for path in fresh.rglob("*.py*")}
        kept = {str(path.relative_to(OUTPUT)) for path in OUTPUT.rglob("*.py*") if "__pycache__" not in path.parts}
        return names == kept and not filecmp.cmpfiles(fresh, OUTPUT, sorted(names), shallow=False)[1]


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        if not is_fresh():
            sys.exit("sidegate/api is not what protos/ generates: run `make protos` and commit")
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        adopt(Path(scratch), OUTPUT)


if __name__ == "__main__":
    main()
