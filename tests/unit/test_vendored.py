"""What the console has from npm is what is pinned, with its licence, and nothing else lies beside it."""

import base64
import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

VENDOR = Path(__file__).parent.parent.parent / "services" / "console" / "static" / "vendor"
PACKAGES: list[dict[str, Any]] = tomllib.loads((VENDOR / "vendor.toml").read_text())["package"]
FILES = {file["file"]: file for package in PACKAGES for file in package["files"]}
GRANTS = {"MIT": "Permission is hereby granted, free of charge", "0BSD": "Permission to use, copy, modify, and/or"}


def test_every_file_is_the_one_that_is_pinned() -> None:
    found = {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in FILES}
    assert found == {name: file["sha256"] for name, file in FILES.items()}


def test_nothing_else_lies_there() -> None:
    assert {path.name for path in VENDOR.iterdir()} == {*FILES, "vendor.toml"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package["name"]))
def test_a_package_is_pinned_by_its_tarball_and_has_its_licence_beside_it(package: dict[str, Any]) -> None:
    assert len(base64.b64decode(package["integrity"].removeprefix("sha512-"))) == 64
    [licence] = [file["file"] for file in package["files"] if file["file"].endswith(".LICENSE")]
    words = " ".join((VENDOR / licence).read_text().split())
    assert GRANTS[package["licence"]] in words


def test_what_is_inside_another_file_is_inside_it() -> None:
    for package in (package for package in PACKAGES if "inside" in package):
        assert f'"{package["version"]}"' in (VENDOR / package["inside"]).read_text()


def test_no_browser_is_sent_to_look_for_a_source_map() -> None:
    assert [name for name in FILES if b"sourceMappingURL" in (VENDOR / name).read_bytes()] == []


def test_a_package_that_is_another_than_its_pin_changes_nothing(tmp_path: Path) -> None:
    """npm is played by a program that packs something else."""
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\nfor into in "$@"; do [ "$last" = --pack-destination ] && break; last=$into; done\n'
                   'echo other > "$into/other.tgz"; echo other.tgz\n')  # fmt: skip
    npm.chmod(0o755)
    before = {path.name: path.read_bytes() for path in VENDOR.iterdir()}
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, str(VENDOR.parents[3] / "deploy" / "vendor")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "integrity" in done.stderr
    assert {path.name: path.read_bytes() for path in VENDOR.iterdir()} == before
