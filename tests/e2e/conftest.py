"""What several of these files open."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from page_browser import launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()
