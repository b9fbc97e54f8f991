"""Real Chromium, what people do with it, and everything that goes wrong in a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.service import ROOM_SECONDS

CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without pages; the test is skipped, or fails in CI, where there is none."""
    try:
        from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415
    except ImportError:
        _missing("playwright: pip install playwright")
    expect.set_options(timeout=1000 * ROOM_SECONDS)  # five seconds, unless one says so
    if not CHROMIUM.exists():
        _missing("Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def expect(found: Any) -> Any:
    """Playwright's assertions, which wait for what they expect."""
    from playwright.sync_api import expect as wait_for  # noqa: PLC0415

    return wait_for(found)


def complaints_of(page: Any) -> list[str]:
    """Everything that goes wrong in the page from now on; the list grows.

    A request that the page itself gives up, as when it is left, is nothing wrong.
    """
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"pageerror: {error}"))
    page.on("requestfailed", lambda request: complaints.extend(_failure_of(request)))
    return complaints


def violations_of(page: Any) -> list[str]:
    """What axe finds against the page as it is now, in light and in dark.

    It judges WCAG 2.2 A and AA and best practices; in dark only what colours can change.
    """
    # Reduced motion: a colour that is still changing would be judged as it is just then.
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found = _axe(page, {"resultTypes": ["violations"]})
    page.emulate_media(color_scheme="dark")
    contrast = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    return found + _axe(page, {"resultTypes": ["violations"], "runOnly": contrast})


def overflow_of(page: Any) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def go_out_of_sight(page: Any, *, hidden: bool) -> None:
    """Make the page think that its tab was put into the background, or is looked at again."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def look_again(page: Any) -> None:
    """Make the page ask the service at once, as when the computer is connected again."""
    page.evaluate("dispatchEvent(new Event('online'))")


def _failure_of(request: Any) -> Iterator[str]:
    if "ERR_ABORTED" not in (request.failure or ""):
        yield f"failed: {request.url}"


def _axe(page: Any, options: dict[str, Any]) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in Axe().run(page, options=options).response["violations"]
        for node in violation["nodes"]
    ]


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"the browser tests need {what}")
    pytest.skip(f"needs {what}")
