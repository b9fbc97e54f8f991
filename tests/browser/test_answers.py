"""What the pages make of answers that a service seldom gives; each is changed on its way."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.browsing import expect, look_again
from tests.support.service import Service

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

IN_THREE_HOURS = timedelta(hours=3, seconds=30)
TOLD = 50
EARLIER = 1_184


@pytest.fixture(scope="module")
def waiting_id(service: Service) -> str:
    """An ingestion that waits."""
    return service.ingest([1, 2], source="crawling")


def change_answers(page: Any, pattern: str, change: Callable[[Any], object]) -> None:
    """From now on `change` is done to what is answered there, and the page has asked again."""

    def answer(route: Any) -> None:
        # Without the tag of the answer before: all of it is needed to change it.
        headers = {
            name: value for name, value in route.request.headers.items() if name != "if-none-match"
        }
        response = route.fetch(headers=headers)
        body = response.json()
        change(body)
        headers = {name: value for name, value in response.headers.items() if name != "etag"}
        route.fulfill(response=response, headers=headers, json=body)

    page.unroute_all(behavior="wait")
    page.route(pattern, answer)
    look_again(page)


def instant(ahead: timedelta) -> str:
    return f"{datetime.now(UTC) + ahead:%Y-%m-%dT%H:%M:%S.%fZ}"


def test_a_delay_of_unknown_length_has_no_time(open_page: OpenPage) -> None:
    page = open_page("/ui/submit")
    page.get_by_label("Paste them").fill("1")
    delays = {"ingestion_count": 2, "seconds": None}
    nothing = {"starts_at": None, "finishes_at": None, "remaining_seconds": None}
    change_answers(
        page,
        "**/forecast",
        lambda preview: preview["priorities"]["HIGH"].update(delays=delays, **nothing),
    )
    expect(page.locator("#preview-HIGH")).to_have_text(re.compile(r"; delays 2 others$"))
    expect(page.locator("[data-priority=HIGH] .when")).to_have_text("no forecast")


def test_estimates_are_called_so(open_page: OpenPage) -> None:
    page = open_page()
    waiting = {"HIGH": 1_200_000, "MEDIUM": 0, "LOW": 0}
    change_answers(
        page,
        "**/sources",
        lambda body: body["sources"][0].update(waiting=waiting, waiting_is_estimated=True),
    )
    card = page.locator("#sources li").first
    expect(card).to_contain_text("about 1,200,000 batches")
    row = page.locator("#waiting tr").first
    expect(row.locator("td")).to_have_text(["about 1,200,000", "0", "0", "about 1,200,000"])


@pytest.mark.parametrize(
    ("told", "said"),
    [
        pytest.param({}, "", id="its slot, which is counted down"),
        pytest.param({"waiting": {"LOW": 0}}, "So it is.", id="no slot, as nothing waits"),
        pytest.param({"next_slot_at": None}, "So it is.", id="something else: the slot is open"),
        pytest.param({"deferred_until": True}, "So it is.", id="the time the upstream named"),
        pytest.param({"backoff_until": True}, "So it is.", id="some time after failures"),
    ],
)
def test_a_card_says_what_its_countdown_does_not(
    open_page: OpenPage, told: dict[str, Any], said: str
) -> None:
    page = open_page()
    later = instant(IN_THREE_HOURS)
    state = {"next_slot_at": later, "waiting": {"LOW": 1}, "waits_for": "So it is."}
    for name, value in (state | told).items():
        state[name] = later if value is True else value
    change_answers(page, "**/sources", lambda body: change_source(body["sources"][0], state))
    card = page.locator("#sources li").first
    expect(card.locator("[data-part=pace]")).to_have_text("7 IDs every 5 s")
    expect(card.locator("[data-part=why]")).to_have_text(said)


def change_source(source: dict[str, Any], state: dict[str, Any]) -> None:
    waiting = source["waiting"] | state["waiting"]
    source.update(state, waiting=waiting, batch_size=7, interval_seconds=5)


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        pytest.param(IN_THREE_HOURS, re.compile(r", in 3 h$"), id="by the clock"),
        pytest.param(None, "12 s after it goes on", id="while no one can say when"),
    ],
)
def test_the_way_to_a_finish_is_told_by_the_clock(
    open_page: OpenPage, waiting_id: str, ahead: timedelta | None, said: Any
) -> None:
    page = open_page(f"/ui/ingestions/{waiting_id}")
    told = {"finishes_at": ahead and instant(ahead), "remaining_seconds": 12, "approximate": False}
    change_answers(page, "**/forecast", lambda forecast: forecast.update(told))
    expect(page.locator("#finish")).to_have_text(said)


def test_records_are_read_again_though_the_counts_are_the_same(
    open_page: OpenPage, waiting_id: str
) -> None:
    page = open_page(f"/ui/ingestions/{waiting_id}")
    expect(page.locator("#records-none")).to_be_visible()
    record = {"position": 1, "id": 1, "outcome": "fetched", "data": {}, "error": None}
    record["fetched_at"] = instant(timedelta(0))
    change_answers(page, "**/records?*", lambda body: body["records"].append(record))
    expect(page.locator("#records tr")).to_have_count(1)


def test_attempts_keep_their_rows_when_older_ones_are_told_no_more(
    open_page: OpenPage, waiting_id: str
) -> None:
    page = open_page(f"/ui/ingestions/{waiting_id}")
    change_answers(page, "**/batches?*", lambda body: tell_attempts(body["batches"][0], EARLIER))
    name = "Batch 1: 1,234 attempts, show the last 50"
    page.get_by_role("button", name=name).click()
    attempts = page.locator(".attempts li")
    expect(page.get_by_text("Of 1,234 attempts the last 50:")).to_be_visible()
    expect(attempts.nth(1)).to_contain_text("attempt 1186")
    attempts.nth(1).evaluate("row => { row.id = 'the-second'; }")
    change_answers(
        page, "**/batches?*", lambda body: tell_attempts(body["batches"][0], EARLIER + 1)
    )
    expect(attempts.first).to_contain_text("attempt 1186")
    expect(attempts.first).to_have_id("the-second")
    expect(attempts).to_have_count(TOLD)


def tell_attempts(batch: dict[str, Any], earlier: int) -> None:
    numbers = range(earlier + 1, earlier + TOLD + 1)
    batch["attempt_count"] = numbers[-1]
    batch["dispatches"] = [
        {
            "attempt": number,
            "worker": "w",
            "dispatched_at": f"2026-03-01T12:{number // 60:02}:{number % 60:02}.000000Z",
            "finished_at": None,
            "outcome": "retried",
            "error": None,
        }
        for number in numbers
    ]


@pytest.mark.parametrize("query", ["status=bogus", "priority=bogus&source=bogus"])
def test_a_filter_that_there_is_not_is_ignored(
    open_page: OpenPage, waiting_id: str, query: str
) -> None:
    for path in ("/", f"/ui/ingestions/{waiting_id}"):
        page = open_page(f"{path}?{query}")
        expect(page.locator("#ingestions tr, #batches tbody").first).to_be_visible()
        expect(page.locator("#banner")).to_be_hidden()


def test_a_source_in_the_address_filters_from_the_first_answer_on(
    open_page: OpenPage, waiting_id: str
) -> None:
    page = open_page("/?source=catalog")
    with page.expect_request("**/ingestions?*") as asked:
        page.reload()
    assert "source=catalog" in asked.value.url
    expect(page.locator("#filter-source")).to_have_value("catalog")
    expect(page.get_by_role("link", name=waiting_id)).to_have_count(0)
