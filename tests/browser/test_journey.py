"""The daily work from the page alone: submit, watch, look into a failure, retry, cancel, pause."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.behaviours import knows_all
from tests.support.browsing import expect, look_again
from tests.support.faulty_upstream import Upstream
from tests.support.ports import held_port
from tests.support.service import Service

from .conftest import BAD_ID, idle

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]


def test_a_submission_with_its_forecast_is_watched_until_its_records_are_there(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page("/ui/submit")
    page.get_by_label("Paste them").fill("1, 2, 3\nB7\n007\n5")
    expect(page.locator("#tally")).to_have_text("6 IDs: 4 integers and 2 texts, read as a list.")
    for priority in ("HIGH", "MEDIUM", "LOW"):
        expect(page.locator(f"[data-priority={priority}] .when")).to_contain_text("done ")
    expect(page.locator("#preview-note")).to_contain_text("2 batches.")
    page.get_by_label("HIGH").check()
    page.get_by_role("button", name="Submit 6 IDs").click()
    page.wait_for_url("**/ui/ingestions/*")
    service.wait_until_all_ended("default")
    look_again(page)
    expect(page.locator("#state")).to_have_text("completed")
    expect(page.locator("#priority")).to_have_text("HIGH")
    expect(page.locator("#finish-label")).to_have_text("Ended")
    expect(page.locator("#records tr th")).to_have_text(["1", "2", "3", '"B7"', '"007"', "5"])


def test_a_failure_is_shown_with_its_error_and_retried(
    open_page: OpenPage, service: Service, upstream: Upstream
) -> None:
    ingestion_id = service.ingest([1, 2, 3, BAD_ID, 5], source="catalog")
    service.wait_until_all_ended("catalog")
    page = open_page(f"/ui/ingestions/{ingestion_id}")
    expect(page.locator("#state")).to_have_text("failed")
    page.get_by_role("button", name="Show why").click()
    expect(page.locator("#batches tbody")).to_have_count(1)
    row = page.locator("#batches tbody")
    # Markup from outside is text.
    expect(row.locator("td small.error")).to_contain_text("<b>no item</b> 13")
    row.get_by_role("button", name="Batch 2: 1 attempt").click()
    expect(row.locator(".attempts li")).to_contain_text("failed")
    expect(row.locator(".attempts .error")).to_contain_text("HTTP 400")
    expect(row.locator("p.ids")).to_have_text(f"IDs: {BAD_ID}, 5")
    upstream.behaviour = knows_all
    page.get_by_role("button", name="Retry what failed").click()
    page.get_by_role("dialog").get_by_role("button", name="Failed IDs").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#state")).not_to_have_text("failed")
    service.wait_until_all_ended("catalog")
    look_again(page)
    expect(page.locator("#state")).to_have_text("completed")
    expect(page.locator("#batches tbody")).to_have_count(0)
    expect(page.locator("#records .chip")).to_have_text(["fetched"] * 5)


def test_what_waits_is_cancelled_after_a_question(open_page: OpenPage, service: Service) -> None:
    page = open_page(f"/ui/ingestions/{service.ingest(range(7), source='crawling')}")
    cancel = page.get_by_role("button", name="Cancel what waits")
    cancel.click()
    page.get_by_role("button", name="Keep as it is").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#state")).to_have_text("waiting")
    cancel.click()
    expect(page.get_by_role("dialog")).to_contain_text("7 batches will not be fetched")
    page.get_by_role("button", name="Cancel them").click()
    expect(page.locator("#state")).to_have_text("cancelled")
    expect(cancel).to_be_hidden()
    expect(page.locator("#started")).to_have_text("never")
    expect(page.locator("#finish-label")).to_have_text("Ended")
    expect(page.locator("#finish")).to_have_text(re.compile(r"\d:\d\d"))


def test_a_source_is_paused_and_resumed(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    card = page.locator("#sources li", has_text="catalog")
    page.get_by_role("button", name="Pause catalog").click()
    expect(card.locator(".chip")).to_have_text("paused")
    expect(card).to_contain_text("Paused since")
    assert service.get("/sources").json()["sources"][0]["paused_at"] is not None
    page.get_by_role("button", name="Resume catalog").click()
    expect(card.locator(".chip")).to_have_text("idle")


@pytest.fixture
def port() -> Iterator[int]:
    """One that nobody else gets while the service is gone."""
    holder, port = held_port()
    with holder:
        yield port


def test_the_page_says_when_the_service_is_gone_and_when_it_is_back(
    open_page: OpenPage, expected: list[str], tmp_path: Path, port: int
) -> None:
    # Refused, or reset where the page had connected and was not answered any more.
    expected += ["ERR_CONNECTION_", "failed: "]
    with idle(tmp_path, port=port) as address:
        page = open_page(url=address)
        expect(page.locator("#sources li")).to_have_count(1)
    look_again(page)
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The service is gone")
    expect(banner).to_contain_text(re.compile(r"from (.*, )?\d\d:\d\d:\d\d"))
    with idle(tmp_path, port=port):
        page.get_by_role("button", name="Ask now").click()
        expect(banner).to_contain_text("The service is back, after ")
        expect(page.get_by_role("button", name="Ask now")).to_be_hidden()


def test_a_refused_action_says_why(open_page: OpenPage, expected: list[str]) -> None:
    expected += ["503"]
    page = open_page()
    page.route("**/sources/default/pause", lambda route: route.fulfill(**_busy()))
    page.get_by_role("button", name="Pause default").click()
    expect(page.locator("#source-failure")).to_have_text("The database is busy.")


def test_an_unknown_ingestion_is_named_as_such(open_page: OpenPage, expected: list[str]) -> None:
    expected += ["404"]
    page = open_page(f"/ui/ingestions/{'a' * 24}")
    expect(page.locator("#unknown")).to_be_visible()
    expect(page.locator("#all")).to_be_hidden()
    expect(page.locator("#banner")).to_be_hidden()


def _busy() -> dict[str, Any]:
    return {
        "status": 503,
        "content_type": "application/problem+json",
        "body": '{"detail": "The database is busy."}',
    }
