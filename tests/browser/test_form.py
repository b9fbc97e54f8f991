"""The form: what stands in it is submitted, and nothing ever twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.browsing import expect
from tests.support.service import Service

from .conftest import MAX_IDS

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]


def test_a_large_file_is_read_beside_the_page_and_submitted(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page("/ui/submit")
    page.get_by_label("Source").select_option("crawling")
    rows = "id,name\n" + "\n".join(f"{number},x" for number in range(MAX_IDS))
    page.get_by_label("Or choose a file").set_input_files(
        {"name": "ids.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    expect(page.locator("#tally")).to_have_text("300,000 IDs: 300,000 integers, read as CSV.")
    expect(page.locator("#remarks")).to_contain_text("The heading “id” is left out.")
    page.get_by_role("button", name="Submit 300,000 IDs").click()
    page.wait_for_url("**/ui/ingestions/*")
    expect(page.locator("#ids")).to_have_text("300,000")
    newest = service.get("/ingestions?limit=1").json()["ingestions"][0]
    assert newest["id_count"] == MAX_IDS


def test_the_column_of_csv_is_chosen_and_the_fate_of_its_first_row_told(
    open_page: OpenPage,
) -> None:
    page = open_page("/ui/submit")
    rows = "name,sku\n" + "\n".join(f"Lamp,A{number}" for number in range(7))
    page.get_by_label("Or choose a file").set_input_files(
        {"name": "ids.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    expect(page.locator("#remarks")).to_contain_text("Row 1 is taken: “name” is an ID")
    expect(page.locator("#column")).to_have_text("namesku")
    page.locator("#column").select_option("sku")
    expect(page.locator("#first")).to_have_text("First: A0, A1, A2, A3, A4, …")
    expect(page.locator("#remarks")).to_have_text("The heading “sku” is left out.")
    page.get_by_label("The first row is a heading").uncheck()
    expect(page.locator("#first")).to_have_text("First: sku, A0, A1, A2, A3, …")
    page.get_by_label("Treat numbers as text").check()
    expect(page.locator("#tally")).to_contain_text("8 IDs")
    expect(page.locator("#first")).to_contain_text("sku, A0")


def test_the_first_ids_of_a_list_are_shown(open_page: OpenPage) -> None:
    page = open_page("/ui/submit")
    page.get_by_label("Paste them").fill("5, B7")
    expect(page.locator("#first")).to_have_text("First: 5, B7")
    expect(page.locator("#column")).to_be_hidden()


def test_a_file_that_changed_after_it_was_chosen_is_told_and_can_be_chosen_again(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("/ui/submit")
    chosen = tmp_path / "ids.txt"
    chosen.write_text("5")
    page.get_by_label("Or choose a file").set_input_files(chosen)
    expect(page.locator("#tally")).to_contain_text("1 ID:")
    chosen.write_text("5\n6")
    page.get_by_label("Treat numbers as text").check()
    expect(page.locator("#tally")).to_have_text(_CHANGED)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#failure")).to_have_text(_CHANGED)
    page.get_by_label("Or choose a file").set_input_files(chosen)
    expect(page.locator("#first")).to_have_text("First: 5, 6")


def test_whatever_fails_while_ids_are_read_is_told(open_page: OpenPage) -> None:
    page = open_page("/ui/submit")
    page.route("**/submit/id_worker.js", _fail_in_reading)
    page.reload()
    page.get_by_label("Paste them").fill("5")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#failure")).to_have_text("The IDs cannot be read: too long")


def test_what_was_read_before_the_text_changed_is_not_what_is_submitted(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(by_hand=True)
    page.add_init_script(_WORKER_BY_HAND)
    page.goto(service.url + "/ui/submit")
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    page.get_by_label("Paste them").fill("7")
    page.evaluate("worker.answer({failure: 'Nothing yet.'})")
    page.get_by_role("button", name="Submit").click()
    assert page.evaluate("worker.asked.map(({source}) => source)") == ["", "7"]


def test_one_id_too_many_is_refused_before_it_is_sent(open_page: OpenPage) -> None:
    page = open_page("/ui/submit")
    page.get_by_label("Or choose a file").set_input_files(
        {"name": "ids.txt", "mimeType": "text/plain", "buffer": b"1\n" * (MAX_IDS + 1)}
    )
    expect(page.locator("#tally")).to_contain_text("300,001 IDs")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#failure")).to_have_text("At most 300,000 IDs can be submitted at once.")


def test_a_lost_answer_and_a_second_click_submit_once(
    open_page: OpenPage, service: Service, expected: list[str]
) -> None:
    expected += ["ERR_FAILED", "failed: "]
    page = open_page("/ui/submit")
    page.route("**/ingest", _lose_the_answer, times=1)
    page.get_by_label("Paste them").fill("lost")
    submit = page.get_by_role("button", name=re.compile("Submit"))
    submit.click()
    expect(page.locator("#failure")).to_contain_text("it cannot be stored twice")
    submit.click()
    page.wait_for_url("**/ui/ingestions/*")
    stored = [batch.ids for batch in service.ledger().batches]
    assert stored.count(("lost",)) == 1


def test_a_form_that_was_changed_after_a_lost_answer_asks_first(
    open_page: OpenPage, expected: list[str]
) -> None:
    expected += ["ERR_FAILED", "failed: ", "422"]
    page = open_page("/ui/submit")
    page.route("**/ingest", _lose_the_answer, times=1)
    page.get_by_label("Paste them").fill("changed 1")
    submit = page.get_by_role("button", name=re.compile("^Submit \\d"))
    submit.click()
    expect(page.locator("#failure")).to_contain_text("No answer came")
    page.get_by_label("Paste them").fill("changed 1\nchanged 2")
    page.get_by_role("button", name="Submit 2 IDs").click()
    expect(page.locator("#failure")).to_contain_text("This form was stored already")
    page.get_by_role("button", name="Submit this as another one").click()
    submit.click()
    page.wait_for_url("**/ui/ingestions/*")
    expect(page.locator("#ids")).to_have_text("2")


def test_what_the_service_refuses_is_shown_with_its_place(
    open_page: OpenPage, expected: list[str]
) -> None:
    expected += ["422"]
    page = open_page("/ui/submit")
    page.route("**/ingest", lambda route: route.continue_(post_data=_WITH_A_FRACTION))
    page.get_by_label("Paste them").fill("1")
    page.get_by_role("button", name="Submit 1 ID").click()
    expect(page.locator("#failure li")).to_contain_text("ID number 2: 2.5 is not allowed")


def test_it_is_filled_and_sent_by_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page("/ui/submit")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Paste them")).to_be_focused()
    page.keyboard.type("1,2,3,4")
    expect(page.locator("[data-priority=LOW] .when")).to_contain_text("done ")
    _tab_to(page, page.get_by_label("MEDIUM"))
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("LOW")).to_be_checked()
    _tab_to(page, page.get_by_role("button", name="Submit 4 IDs"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/ingestions/*")
    expect(page.locator("#priority")).to_have_text("LOW")


_CHANGED = "The file was changed or removed after it was chosen: choose it again."
_WORKER_BY_HAND = """
window.Worker = class extends EventTarget {
    asked = [];
    constructor() { super(); window.worker = this; }
    postMessage(data) { this.asked.push(data); }
    answer(found) {
        const data = {run: this.asked.at(-1).run, ...found};
        this.dispatchEvent(new MessageEvent("message", {data}));
    }
};
"""
_WITH_A_FRACTION = '{"ids": [1, 2.5], "priority": "HIGH"}'


def _fail_in_reading(route: Any) -> None:
    said = route.fetch().text()
    fails = 'const parseIds = () => { throw new RangeError("too long"); };'
    route.fulfill(
        body=re.sub("^import .*$", fails, said, flags=re.MULTILINE),
        content_type="text/javascript",
    )


def _lose_the_answer(route: Any) -> None:
    route.fetch()
    route.abort()


def _tab_to(page: Any, target: Any) -> None:
    for _ in range(20):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab never comes to {target}")
