"""The docs page in real Chromium: nothing is refused, nothing fails, "Try it out" works."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from werkzeug.serving import make_server

from ingest_app import create_app
from ingest_app.runtime import runtime_of

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve the application on a free port; nothing dispatches."""
    app = create_app({"instance_path": str(tmp_path), "dispatch": False})
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()
    runtime_of(app).database.engine.dispose()


@pytest.fixture
def page() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError:
        _missing("playwright: pip install playwright")
    if not CHROMIUM.exists():
        _missing("Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_docs_page_submits_without_a_violation_or_a_failing_request(
    page: Any, address: str
) -> None:
    complaints = _complaints_of(page)
    page.goto(f"{address}/docs")
    operation = page.locator("#operations-submission-ingest")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    assert "ingestion_id" in answer.locator("tbody .response-col_description").inner_text()
    assert answer.locator("tbody .response-col_status").inner_text().startswith("200")
    assert complaints == []


def test_the_console_shows_what_the_policy_refuses(page: Any, address: str) -> None:
    # The negative control of the test above.
    complaints = _complaints_of(page)
    page.goto(f"{address}/docs")
    page.evaluate("document.body.append(document.createElement('script'))")
    page.evaluate("document.querySelector('body > script:last-of-type').textContent = '1'")
    page.evaluate("fetch('/nowhere')")
    assert any("Content Security Policy" in complaint for complaint in complaints)
    assert any("404" in complaint for complaint in complaints)


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"the browser tests need {what}")
    pytest.skip(f"needs {what}")


def _complaints_of(page: Any) -> list[str]:
    """Everything that goes wrong in the page from now on; the list grows."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"pageerror: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    return complaints
