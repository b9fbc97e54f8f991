"""The form: what it takes for an ID, and that nothing is ever submitted twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.browsing import expect
from tests.support.service import Service

from .conftest import MAX_IDS

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

PARSE = """async ({text, options}) => {
    const module = await import("/ui/static/submit/parse_ids.js");
    return module.parseIds(text, options);
}"""


def parsed(page: Any, text: str, **options: Any) -> dict[str, Any]:
    found = page.evaluate(PARSE, {"text": text, "options": {"heading": None, **options}})
    return dict(found)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("1\n2\r\n3", ["1", "2", "3"], id="a line each, of any system"),
        pytest.param(" 1, 2 ;3\t4 ", ["1", "2", "3", "4"], id="separators and spaces"),
        pytest.param("1\n\n,,2\n", ["1", "2"], id="empty places"),
        pytest.param("B7", ['"B7"'], id="text"),
        pytest.param("\"B 7\"\n'x'", ['"B 7"', '"x"'], id="quotes around"),
        pytest.param('a"b\\c', ['"a\\"b\\\\c"'], id="characters that JSON escapes"),
        pytest.param("007", ['"007"'], id="leading zeros would be lost"),
        pytest.param("-5 ,+5,-0", ["-5", '"+5"', '"-0"'], id="signs"),
        pytest.param("5.0\n1e3", ['"5.0"', '"1e3"'], id="not written as an integer"),
        pytest.param("9223372036854775807", ["9223372036854775807"], id="the largest integer"),
        pytest.param("9223372036854775808", ['"9223372036854775808"'], id="more than 64 bits"),
        pytest.param("-9223372036854775808", ["-9223372036854775808"], id="the least integer"),
        pytest.param('[1, "1", "B7"]', ["1", '"1"', '"B7"'], id="JSON says which is which"),
        pytest.param(
            "[9007199254740993]", ["9007199254740993"], id="more digits than a number has"
        ),
        pytest.param("[]", [], id="an empty array"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_text_becomes_ids(scratch_page: Any, text: str, tokens: list[str]) -> None:
    assert parsed(scratch_page, text)["tokens"] == tokens


@pytest.mark.parametrize(
    ("text", "tokens", "heading"),
    [
        pytest.param("id,name\n5,Lamp\n6,Desk", ["5", "6"], "id", id="a usual heading"),
        pytest.param("thing\n5\n6", ["5", "6"], "thing", id="a word above integers"),
        pytest.param("A1,x\nA2,y", ['"A1"', '"A2"'], None, id="text all the way"),
        pytest.param("5;a\n6;b", ["5", "6"], None, id="semicolons"),
        pytest.param("5\ta\r\n6\tb", ["5", "6"], None, id="tabs"),
        pytest.param('"a,b",1\n"c ""d""",2', ['"a,b"', '"c \\"d\\""'], None, id="quotes"),
        pytest.param('A1,"two\nlines"\nA2,y', ['"A1"', '"A2"'], None, id="a row over two lines"),
    ],
)
def test_csv_gives_its_first_column(
    scratch_page: Any, text: str, tokens: list[str], heading: str | None
) -> None:
    found = parsed(scratch_page, text, format="csv")
    assert found["tokens"] == tokens
    assert found["heading"] == heading


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[1, 2.5]", "ID number 2 is neither an integer nor text.", id="a fraction"),
        pytest.param("[true]", "ID number 1 is neither an integer nor text.", id="a boolean"),
        pytest.param("[[1]]", "ID number 1 is neither an integer nor text.", id="nested"),
        pytest.param('["", 2]', "ID number 1 is empty.", id="empty text"),
        pytest.param("[92233720368547758080]", "ID number 1 has more than 64 bits.", id="large"),
        pytest.param("x" * 256, "ID number 1 is longer than 255 characters.", id="long"),
        pytest.param(
            '["a\\u0000"]', "ID number 1 has a character that cannot be stored.", id="NUL"
        ),
    ],
)
def test_what_is_no_id_is_named_with_its_place(scratch_page: Any, text: str, problem: str) -> None:
    assert parsed(scratch_page, text)["problems"] == [problem]


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        pytest.param('{"ids": [1]}', None, id="an object is read as a list"),
        pytest.param("[1, 2", "This is not a JSON array: ", id="cut off"),
    ],
)
def test_json_that_cannot_be_read_says_so(
    scratch_page: Any, text: str, failure: str | None
) -> None:
    found = parsed(scratch_page, text)["failure"]
    assert found is None if failure is None else found.startswith(failure)


def test_numbers_can_be_sent_as_text_and_each_id_only_once(scratch_page: Any) -> None:
    assert parsed(scratch_page, "5, 5, B7")["duplicateCount"] == 1
    assert parsed(scratch_page, "5, 5, B7", asText=True, once=True)["tokens"] == ['"5"', '"B7"']


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


_WITH_A_FRACTION = '{"ids": [1, 2.5], "priority": "HIGH"}'


def _lose_the_answer(route: Any) -> None:
    route.fetch()
    route.abort()


def _tab_to(page: Any, target: Any) -> None:
    for _ in range(20):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab never comes to {target}")
