"""What an answer says about each ID."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest_app.items import FetchedRecord, ItemId
from ingest_app.sources.answers import (
    SameIdTwice,
    UnexpectedAnswer,
    parse,
    record_of_one,
    records_of_all,
)
from ingest_app.states import RecordOutcome

FETCHED, MISSING, ERROR = RecordOutcome.FETCHED, RecordOutcome.MISSING, RecordOutcome.ERROR


def all_of(
    answer: Any, *ids: ItemId, items: str = "", id_field: str = "id"
) -> dict[ItemId, FetchedRecord]:
    return records_of_all(answer, ids, items=items, id_field=id_field)


def one_of(answer: Any, item: ItemId, items: str = "") -> FetchedRecord:
    return record_of_one(answer, item, items=items, id_field="id")


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        pytest.param("", [{"id": 1}], id="the answer itself"),
        pytest.param("rows", {"rows": [{"id": 1}], "count": 1}, id="a field"),
        pytest.param("a.b.c", {"a": {"b": {"c": [{"id": 1}]}}}, id="deep inside"),
    ],
)
def test_items_are_found(items: str, answer: Any) -> None:
    assert all_of(answer, 1, items=items)[1] == FetchedRecord(1, FETCHED, data={"id": 1})


@pytest.mark.parametrize(
    ("item", "theirs", "is_found"),
    [
        pytest.param(5, 5, True, id="the same number"),
        pytest.param(5, "5", True, id="an upstream that writes numbers as strings"),
        pytest.param("5", 5, True, id="a client that does"),
        pytest.param(5, 5.0, True, id="the same number, written otherwise"),
        pytest.param("b", "b", True, id="the same string"),
        pytest.param("b", "B", False, id="another string"),
        pytest.param("05", 5, False, id="a string with a zero is no number"),
        pytest.param(5, "05", False, id="nor the other way round"),
        pytest.param(5, 6, False, id="another number"),
        pytest.param("5.0", 5, False, id="a text that only looks like it"),
    ],
)
def test_item_is_matched_by_value(item: ItemId, theirs: object, is_found: bool) -> None:
    assert (all_of([{"id": theirs}], item)[item].outcome is FETCHED) is is_found


def test_5_and_its_string_are_told_apart_by_an_upstream_that_does() -> None:
    records = all_of([{"id": "5"}, {"id": 5}], 5, "5")
    assert [records[item].data for item in (5, "5")] == [{"id": 5}, {"id": "5"}]


def test_id_without_an_item_is_missing_and_items_nobody_asked_for_do_not_matter() -> None:
    records = all_of([{"id": 2}, {"id": 2}, {"id": 1}], 1, 7)
    assert [(item, record.outcome) for item, record in records.items()] == [
        (1, FETCHED),
        (7, MISSING),
    ]
    assert records[7].error


def test_id_field_may_have_another_name() -> None:
    assert all_of([{"key": 1}], 1, id_field="key")[1].outcome is FETCHED


def test_several_items_with_one_id_cannot_be_told_apart() -> None:
    with pytest.raises(SameIdTwice):
        all_of([{"id": 1, "n": 1}, {"id": 1, "n": 2}], 1)


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        pytest.param("", {"rows": []}, id="an object instead of a list"),
        pytest.param("", None, id="null"),
        pytest.param("", 5, id="a number"),
        pytest.param("rows", [], id="a list has no fields"),
        pytest.param("rows", {"row": []}, id="no such field"),
        pytest.param("rows", {"rows": None}, id="null in its place"),
        pytest.param("rows", {"rows": {"1": {}}}, id="an object in its place"),
        pytest.param("a.b", {"a": 5}, id="nothing can be inside a number"),
        pytest.param("", [1], id="an item that is no object"),
        pytest.param("", [{"name": 1}], id="an item without an ID"),
        pytest.param("", [{"id": None}], id="an ID that is null"),
        pytest.param("", [{"id": True}], id="an ID that is a boolean"),
        pytest.param("", [{"id": [1]}], id="an ID that is a list"),
        pytest.param("", [{"id": 1.5}], id="an ID that is a fraction"),
    ],
)
def test_answer_of_another_shape_is_unexpected(items: str, answer: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        all_of(answer, 1, items=items)


@pytest.mark.parametrize(
    ("items", "answer", "outcome", "data"),
    [
        pytest.param("", {"name": "a"}, FETCHED, {"name": "a"}, id="the whole answer"),
        pytest.param("", "text", FETCHED, "text", id="of any type"),
        pytest.param("", False, FETCHED, False, id="false is an answer"),
        pytest.param("item", {"item": {"n": 1}}, FETCHED, {"n": 1}, id="a field of it"),
        pytest.param("", [{"id": 2}, {"id": 1}], FETCHED, {"id": 1}, id="the one of a list"),
        pytest.param("", [{"id": 2}], MISSING, None, id="none of a list"),
        pytest.param("", [], MISSING, None, id="an empty list"),
        pytest.param("", None, MISSING, None, id="null"),
        pytest.param("item", {"item": None}, MISSING, None, id="null in its place"),
        pytest.param("a.b", {"a": None}, MISSING, None, id="null on the way"),
        pytest.param("", [{"id": 1}, {"id": 1}], ERROR, None, id="two of a list"),
    ],
)
def test_answer_for_one_id(items: str, answer: Any, outcome: RecordOutcome, data: object) -> None:
    record = one_of(answer, 1, items)
    assert (record.item_id, record.outcome, record.data) == (1, outcome, data)
    assert bool(record.error) is (outcome is not FETCHED)


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        pytest.param("item", {}, id="no such field"),
        pytest.param("", [{"name": 1}], id="a list whose items have no ID"),
    ],
)
def test_answer_of_another_shape_for_one_id_is_unexpected(items: str, answer: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        one_of(answer, 1, items)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b'{"id": 1', id="cut off"),
        pytest.param(b'{"id": NaN}', id="NaN"),
        pytest.param(b'{"id": -Infinity}', id="infinity"),
        pytest.param(b'{"id": 1e999}', id="a number that would become infinity"),
        pytest.param(b'{"id": ' + b"9" * 5_000 + b"}", id="more digits than Python reads"),
        pytest.param(b'{"id": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 101 + b"]" * 101, id="deeper than could be read again"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deeper than Python reads"),
        pytest.param(b'{"a":' * 100_000, id="deep and cut off"),
    ],
)
def test_what_json_does_not_have_or_nobody_can_keep_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param("\ufeff[1]".encode(), [1], id="a byte order mark"),
        pytest.param("[1]".encode("utf-16"), [1], id="UTF-16, as JSON once allowed"),
        pytest.param(b'["\\ud800"]', ["\ud800"], id="half a pair, which JSON has"),
        pytest.param(b"[0.1, 1e-400]", [0.1, 0.0], id="fractions"),
        pytest.param(b"[" * 100 + b"]" * 100, json.loads("[" * 100 + "]" * 100), id="deep enough"),
    ],
)
def test_json_of_all_kinds_is_read(body: bytes, value: object) -> None:
    assert parse(body) == value
