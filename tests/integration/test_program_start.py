"""A program that cannot start says why in one sentence, and ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import identity

NOBODY = "127.0.0.1:1"


def altered_heads(directory: Path) -> tuple[str, ...]:
    (directory / "heads.jsonl").write_text("{}\n")
    return ("--evidence", str(directory))


def no_place_to_say_that_it_is_ready(directory: Path) -> tuple[str, ...]:
    return ("--ready-file", str(directory / "missing" / "registry.ready"))


@pytest.mark.parametrize(
    ("given", "word"),
    [(altered_heads, "heads.jsonl was altered"), (no_place_to_say_that_it_is_ready, "registry.ready")],
)
def test_a_registry_that_cannot_start_says_why(
    tmp_path: Path, given: Callable[[Path], tuple[str, ...]], word: str
) -> None:
    log = ("--database", str(tmp_path / "registry.sqlite"), "--log-file", str(tmp_path / "registry.log"))
    elsewhere = (
        "--endpoint-address",
        NOBODY,
        "--nats-url",
        f"nats://{NOBODY}",
        "--metrics",
        "",
        *identity.arguments(tmp_path),
    )
    command = [sys.executable, "-m", "services.registry", *log, *elsewhere, *given(tmp_path)]
    done = subprocess.run(command, check=False, timeout=60)
    (said,) = [line for line in (tmp_path / "registry.log").read_text().splitlines() if not line.startswith("{")]
    assert done.returncode == 1
    assert said.startswith("registry: ")
    assert word in said
