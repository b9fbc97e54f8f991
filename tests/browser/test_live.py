"""Pages that stay true by themselves: cheap while nothing changes, and never in the way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.browsing import expect, go_out_of_sight, look_again
from tests.support.service import Service

from .conftest import BAD_ID

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

MINUTE = 60_000
CLOCK = """async samples => {
    const {ServerClock} = await import("/ui/static/shared/server_clock.js");
    const clock = new ServerClock();
    const now = performance.now();
    for (const [date, sent, received] of samples) clock.note(date, now + sent, now + received);
    return clock.now() - performance.now() + now;
}"""
WORDS = """async ([name, ...values]) => {
    const words = await import("/ui/static/shared/words.js");
    return words[name](...values);
}"""


@pytest.fixture
def page(open_page: OpenPage) -> Any:
    """The overview, and time that passes only when the test says so."""
    page = open_page(by_hand=True)
    expect(page.locator("#sources li")).to_have_count(3)
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    # What the page asked for while time still passed gives way to one more look, which has ended.
    page.evaluate("delete document.body.dataset.connection; dispatchEvent(new Event('online'))")
    expect(page.locator("body")).to_have_attribute("data-connection", "up")
    return page


def requests_of(page: Any) -> list[str]:
    """The paths asked for from now on; the list grows."""
    paths: list[str] = []
    page.on("request", lambda request: paths.append(request.url.split("/", 3)[3]))
    return paths


def test_new_work_appears_without_reloading(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    expect(page.locator("#sources li")).to_have_count(3)
    ingestion_id = service.ingest([1])
    expect(page.get_by_role("link", name=ingestion_id)).to_be_visible()


def test_a_hidden_tab_asks_for_nothing_and_a_visible_one_at_once(page: Any) -> None:
    go_out_of_sight(page, hidden=True)
    paths = requests_of(page)
    page.clock.run_for(10 * MINUTE)
    assert paths == []
    with page.expect_response("**/sources"):
        go_out_of_sight(page, hidden=False)


def test_what_has_not_changed_is_not_sent_again(open_page: OpenPage, service: Service) -> None:
    ingestion_id = service.ingest([1], source="crawling")
    page = open_page(f"/ui/ingestions/{ingestion_id}")
    expect(page.locator("#still")).to_have_text("1 batch")
    with page.expect_response(f"**/ingestions/{ingestion_id}") as again:
        look_again(page)
    assert again.value.status == 304
    expect(page.locator("#still")).to_have_text("1 batch")


def test_a_service_that_is_gone_is_asked_less_and_less_often(
    page: Any, expected: list[str]
) -> None:
    expected += ["ERR_FAILED", "failed: "]
    page.route("**/sources", lambda route: route.abort())
    paths = requests_of(page)
    look_again(page)
    for seconds in (4, 8, 16, 30):
        expect(page.locator("#banner-again")).to_have_text(f"Asking again in {seconds} s.")
        before = paths.count("sources")
        page.clock.run_for(seconds * 1000 - 500)
        assert paths.count("sources") == before
        with page.expect_request("**/sources"):
            # And no further: the next wait begins when this request has failed, so that time must
            # not go on beside it.
            page.clock.run_for(500)


def test_focus_and_open_rows_survive_a_refresh(open_page: OpenPage, service: Service) -> None:
    ingestion_id = service.ingest([1, 2, BAD_ID], source="catalog")
    page = open_page(f"/ui/ingestions/{ingestion_id}")
    attempts = page.get_by_role("button", name=re.compile("Batch 1: 1 attempt"))
    attempts.press("Enter")
    with page.expect_response("**/batches?*"):
        look_again(page)
    expect(attempts).to_be_focused()
    expect(attempts).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".attempts li")).to_have_count(1)


def test_filters_stand_in_the_address(open_page: OpenPage, service: Service) -> None:
    low, high = service.ingest([1], "LOW"), service.ingest([1], "HIGH")
    page = open_page()
    page.locator("#filter-priority").select_option("LOW")
    expect(page.get_by_role("link", name=low)).to_be_visible()
    expect(page.get_by_role("link", name=high)).to_have_count(0)
    page.reload()
    expect(page.locator("#filter-priority")).to_have_value("LOW")
    expect(page.get_by_role("link", name=low)).to_be_visible()
    expect(page.get_by_role("link", name=high)).to_have_count(0)


def test_older_ingestions_are_shown_on_demand(open_page: OpenPage, service: Service) -> None:
    for number in range(27):
        service.ingest([number])
    page = open_page()
    rows = page.locator("#ingestions tr")
    expect(rows).to_have_count(25)
    page.get_by_role("button", name="Show more").click()
    expect(rows.nth(26)).to_be_visible()


def test_300_000_batches_are_paged_and_jumped_into(open_page: OpenPage, service: Service) -> None:
    ingestion_id = service.ingest(range(300_000), source="crawling")
    page = open_page(f"/ui/ingestions/{ingestion_id}")
    rows = page.locator("#batches tbody")
    expect(rows).to_have_count(25)
    expect(page.locator("#still")).to_have_text("300,000 batches")
    page.get_by_label("From batch").fill("150000")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(rows.first.locator("th")).to_have_text("150,000")
    pager = page.get_by_role("navigation", name="Pages of batches")
    pager.get_by_role("button", name="Next").click()
    expect(rows.first.locator("th")).to_have_text("150,025")
    pager.get_by_role("button", name="Previous").click()
    expect(rows.first.locator("th")).to_have_text("150,000")
    page.locator("#batch-status").select_option("failed")
    expect(page.locator("#batches-none")).to_contain_text("No batch from here on is failed")
    assert page.evaluate("document.querySelectorAll('*').length") < 1_500


def test_a_chart_of_the_day_and_its_table(open_page: OpenPage, service: Service) -> None:
    service.ingest([1])
    page = open_page()
    expect(page.locator("#activity-summary")).to_contain_text("used in the last hour")
    page.get_by_text("Day", exact=True).click()
    expect(page.locator("#activity-summary")).to_contain_text("used in the last day")
    expect(page.locator("#activity-chart canvas")).to_have_count(1)
    page.get_by_text("As a table").click()
    expect(page.locator("#activity-rows tr").first).to_be_visible()


@pytest.mark.parametrize("offset_seconds", [0, 3600, -86_400])
def test_countdowns_follow_the_clock_of_the_service(scratch_page: Any, offset_seconds: int) -> None:
    at = int(time.time()) + offset_seconds
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at))
    # Sent 10 ms before, received at once: it is somewhere in the second that the header names.
    found = scratch_page.evaluate(CLOCK, [[date, -10, 0]])
    assert at * 1000 - 10 <= found <= (at + 1) * 1000 + 10
    # 600 ms later the header says the next second, so it was in the last 400 ms of the first.
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at + 1))
    found = scratch_page.evaluate(CLOCK, [[date, -10, 0], [later, 590, 600]])
    assert at * 1000 + 390 <= found <= (at + 1) * 1000 + 10


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(0.2, "under 1 s", id="hardly anything"),
        pytest.param(59.6, "1 min", id="rounded up to the larger unit"),
        pytest.param(61, "1 min 1 s", id="two units"),
        pytest.param(3_599, "59 min 59 s", id="just below an hour"),
        pytest.param(7_199, "2 h", id="no 60 minutes"),
        pytest.param(12_000, "3 h 20 min", id="hours"),
        pytest.param(1_512_000, "17 d 12 h", id="days"),
    ],
)
def test_durations_have_two_units(scratch_page: Any, seconds: float, words: str) -> None:
    assert scratch_page.evaluate(WORDS, ["duration", seconds]) == words
