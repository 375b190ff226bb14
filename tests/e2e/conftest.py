"""The browser, and a page in it over the stub."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.page.browsing import CHROMIUM, watched
from tests.support.page.stub import Stub, running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Of the browser's window; tests set it by parametrize."""
    return {}


@pytest.fixture
def page(browser: Any, stub: Stub, settings: dict[str, Any]) -> Iterator[Any]:
    with running(stub) as url, watched(browser, url, **settings) as page:
        yield page
