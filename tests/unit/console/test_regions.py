"""Regions of pages that are filled anew by themselves."""

import re
from pathlib import Path

import pytest

from services.console.pages.rendering import HERE

TRIGGER = re.compile(r'hx-trigger="([^"]*sse:[^"]*)"')
TEMPLATES = sorted(path for path in (HERE / "templates").rglob("*.html") if TRIGGER.search(path.read_text()))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_what_is_told_of_news_is_told_of_those_that_were_missed_as_well(path: Path) -> None:
    """After an interruption, and for news that came while a button was pressed, the only word is `back`."""
    for triggers in TRIGGER.findall(path.read_text()):
        assert "sse:back" in re.split(r"[ ,]+", re.sub(r"\{.*?\}\}", "", triggers)), triggers
