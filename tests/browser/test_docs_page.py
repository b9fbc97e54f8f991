"""The docs page in real Chromium: nothing is refused, nothing fails, "Try it out" works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browsing import complaints_of

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page()
    yield page
    page.close()


def test_docs_page_submits_without_a_violation_or_a_failing_request(
    page: Any, idle_address: str
) -> None:
    complaints = complaints_of(page)
    page.goto(f"{idle_address}/docs")
    operation = page.locator("#operations-submission-ingest")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    assert "ingestion_id" in answer.locator("tbody .response-col_description").inner_text()
    assert answer.locator("tbody .response-col_status").inner_text().startswith("200")
    assert complaints == []


def test_the_console_shows_what_the_policy_refuses(page: Any, idle_address: str) -> None:
    # The negative control of the test above.
    complaints = complaints_of(page)
    page.goto(f"{idle_address}/docs")
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate("document.body.append(document.createElement('script'))")
        page.evaluate("document.querySelector('body > script:last-of-type').textContent = '1'")
    with page.expect_console_message(lambda message: "404" in message.text):
        page.evaluate("fetch('/nowhere')")
    assert any("Content Security Policy" in complaint for complaint in complaints)
    assert any("404" in complaint for complaint in complaints)
