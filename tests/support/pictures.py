"""Pictures of the console for its readers, made by the tests that look at it: `make pictures` puts them into docs/."""

import os
from pathlib import Path

from playwright.async_api import FloatRect, Page

from tests.support.browser import DESK

DIRECTORY = Path(__file__).resolve().parent.parent.parent / "docs" / "console"
TALLEST = 1000
CHINESE = frozenset({"overview", "endpoint", "past"})
WANTED = "SIDEGATE_PICTURES"


async def picture(page: Page, name: str) -> None:
    """Takes docs/console/NAME.png of what is seen, of some NAME-zh.png; without being wanted it is thrown away."""
    whole = await page.evaluate("document.documentElement.scrollHeight")
    part: FloatRect = {"x": 0, "y": 0, "width": DESK[0], "height": min(whole, TALLEST)}
    taken = await page.screenshot(animations="disabled", full_page=True, clip=part)
    chinese = await page.locator("html").get_attribute("lang") == "zh-CN"
    if os.environ.get(WANTED) and (name in CHINESE or not chinese):
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        (DIRECTORY / f"{name}{'-zh' * chinese}.png").write_bytes(taken)
