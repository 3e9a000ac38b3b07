"""Each program runs with the packages that its image has, and needs no other of those that are here for tests."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGES = sorted((ROOT / "services").glob("*/Dockerfile"))
GROUP = re.compile(r" --group ([\w-]+)")

ALONE = """
import re, sys
from importlib import metadata
from importlib.abc import MetaPathFinder

modules, distributions, program = set(sys.argv[1].split(",")), set(sys.argv[2].split(",")), sys.argv[3]

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def from_name(name):
    if re.sub("[-_.]+", "-", name).lower() in distributions:
        raise metadata.PackageNotFoundError(name)
    return there(name)

there, metadata.Distribution.from_name = metadata.Distribution.from_name, from_name
sys.meta_path.insert(0, Absent())
__import__(program)
"""


def packages(groups: set[str]) -> set[str]:
    """What is installed for the project and these of its dependency groups."""
    wanted = [*PROJECT["project"]["dependencies"]]
    for group in groups:
        wanted += PROJECT["dependency-groups"][group]
    found, waiting = set[tuple[str, str]](), [Requirement(each) for each in wanted]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in found:
                found.add((name, extra))
                waiting += _required(name, extra)
    return {name for name, _ in found}


def _required(name: str, extra: str) -> Iterator[Requirement]:
    try:
        told = metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # of another platform
        return
    for each in map(Requirement, told):
        if each.marker is None or each.marker.evaluate({"extra": extra}):
            yield each


@pytest.mark.parametrize("image", IMAGES, ids=[each.parent.name for each in IMAGES])
def test_a_program_needs_no_package_that_its_image_does_not_have(image: Path) -> None:
    there = packages(set(GROUP.findall(image.read_text()))) | {"sidegate"}
    here = {
        module: {canonicalize_name(each) for each in distributions}
        for module, distributions in metadata.packages_distributions().items()
    }
    modules = [module for module, distributions in here.items() if not distributions & there]
    assert "pytest" in modules
    distributions = set[str]().union(*here.values()) - there
    program = f"services.{image.parent.name}.__main__"
    command = [sys.executable, "-c", ALONE, ",".join(modules), ",".join(distributions), program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
