"""Pictures of the console for its readers, made by the tests that look at it: `make pictures` puts them into docs/."""

import os
from pathlib import Path

from playwright.async_api import Page

DIRECTORY = Path(__file__).resolve().parent.parent.parent / "docs" / "console"
WANTED = "SIDEGATE_PICTURES"


async def picture(page: Page, name: str) -> None:
    """Takes docs/console/NAME.png of what is seen; where no pictures are wanted it is thrown away."""
    taken = await page.screenshot(animations="disabled")
    if os.environ.get(WANTED):
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        (DIRECTORY / f"{name}.png").write_bytes(taken)
