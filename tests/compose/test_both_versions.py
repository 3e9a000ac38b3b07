"""Each version of Compose reads docker-compose.yml, and `down --volumes` leaves nothing of it."""

import os
from pathlib import Path

import pytest

from tests.compose.cluster import cluster
from tests.compose.engine import Engine

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]


@pytest.mark.parametrize("version", ["1", "2"])
def test_up_tells_the_story_and_down_leaves_nothing(built: Engine, version: str, tmp_path: Path) -> None:
    if version not in built.composes:
        assert os.environ.get("CI") != "true", f"there is no Compose {version}"
        pytest.skip(f"there is no Compose {version} on this machine")

    with cluster(built, version, tmp_path / "env") as up:
        assert up.curl().returncode == 0
        assert "compose-1" in up.pins()

    assert up.listed("ps", "--all") == []
    assert up.listed("network", "ls") == []
    assert up.listed("volume", "ls") == []
    assert "compose-1" not in up.pins()
