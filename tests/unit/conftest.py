"""What many of these tests begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import fake_sidegate
from tests.support.fake_sidegate import FakeSidegate


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSidegate]:
    """A Sidegate that answers what a test has told it to."""
    with fake_sidegate.running(tmp_path) as running:
        yield running
