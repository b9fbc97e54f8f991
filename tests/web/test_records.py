from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from ingest_app.database import Database
from ingest_app.errors import DatabaseBusy
from ingest_app.queue import records
from ingest_app.runtime import runtime_of
from ingest_app.web import record_forms

from .conftest import check_problem

Submit = Callable[..., str]
Stored = Callable[..., str]

NDJSON, CSV = "application/x-ndjson", "text/csv"
FETCHED_AT = "2026-03-01T12:00:00.250000Z"
ROW = (
    "INSERT INTO records SELECT id, :position, :item_id, :outcome, :data, :error,"
    " '2026-03-01 12:00:00.250000' FROM batches WHERE ingestion_id = :ingestion"
    " AND position = :batch"
)


@pytest.fixture
def stored(app: Flask, submit: Submit) -> Stored:
    """Submit IDs, with records (batches have 3 IDs) that all say the same but for what is given."""

    def store(ids: Sequence[Any], **more: object) -> str:
        ingestion_id = submit(list(ids))
        with runtime_of(app).database.write() as connection:
            for index, one in enumerate(ids):
                row = {
                    "ingestion": ingestion_id,
                    "batch": index // 3 + 1,
                    "position": index % 3 + 1,
                    "item_id": json.dumps(one, ensure_ascii=False),
                    "outcome": "fetched",
                    "data": '{"n":1}',
                    "error": None,
                }
                connection.execute(text(ROW), row | more)
        return ingestion_id

    return store


def address(ingestion_id: str, query: str = "") -> str:
    return f"/ingestions/{ingestion_id}/records?{query}"


def csv_rows(client: FlaskClient, ingestion_id: str) -> list[dict[str, str]]:
    answer = client.get(address(ingestion_id, "format=csv"))
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_json_has_what_became_of_each_id(client: FlaskClient, stored: Stored) -> None:
    ingestion_id = stored([7, "B7", 7, 8])
    answer = client.get(address(ingestion_id))
    assert answer.content_type == "application/json"
    found = answer.json["records"]
    assert found[1] == {
        "position": 2,
        "id": "B7",
        "outcome": "fetched",
        "data": {"n": 1},
        "error": None,
        "fetched_at": FETCHED_AT,
        "batch_id": f"{ingestion_id}-1",
    }
    assert [(one["position"], one["id"]) for one in found] == [(1, 7), (2, "B7"), (3, 7), (4, 8)]
    assert found[3]["batch_id"] == f"{ingestion_id}-2"


def test_ndjson_has_the_records_of_json_a_line_each(client: FlaskClient, stored: Stored) -> None:
    ingestion_id = stored([7, "B7", "é\n", 8])
    answer = client.get(address(ingestion_id), headers={"Accept": NDJSON})
    assert answer.content_type == NDJSON
    assert answer.text.endswith("\n")
    lines = answer.text.splitlines()
    assert list(map(json.loads, lines)) == client.get(address(ingestion_id)).json["records"]


def test_csv_has_a_header_and_plain_ids(client: FlaskClient, stored: Stored) -> None:
    ingestion_id = stored([7, 'a "b", c', -5])
    answer = client.get(address(ingestion_id), headers={"Accept": CSV})
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.text == (
        "position,id,outcome,data,error,fetched_at,batch_id\r\n"
        f'1,7,fetched,"{{""n"":1}}",,{FETCHED_AT},{ingestion_id}-1\r\n'
        f'2,"a ""b"", c",fetched,"{{""n"":1}}",,{FETCHED_AT},{ingestion_id}-1\r\n'
        f'3,-5,fetched,"{{""n"":1}}",,{FETCHED_AT},{ingestion_id}-1\r\n'
    )


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        pytest.param("=1+1", "'=1+1", id="a formula"),
        pytest.param("+49 30", "'+49 30", id="plus begins one too"),
        pytest.param("-5", "'-5", id="and minus, in a string"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="and at"),
        pytest.param("\t=1", "'\t=1", id="a tab is passed over"),
        pytest.param("\r=1", "'\r=1", id="so is a carriage return"),
        pytest.param(-5, "-5", id="a negative number is one"),
        pytest.param("a=1", "a=1", id="only the first character counts"),
        pytest.param("'=1", "'=1", id="an apostrophe of its own"),
        pytest.param("5", "5", id="digits"),
        pytest.param("日本 🚲", "日本 🚲", id="unicode"),
        pytest.param("a\r\nb", "a\r\nb", id="a line break stays inside its cell"),
    ],
)
def test_spreadsheet_takes_no_id_for_a_formula(
    client: FlaskClient, stored: Stored, item: object, shown: str
) -> None:
    ingestion_id = stored([item])
    assert csv_rows(client, ingestion_id)[0]["id"] == shown
    assert client.get(address(ingestion_id)).json["records"][0]["id"] == item


def test_spreadsheet_takes_no_error_for_a_formula(client: FlaskClient, stored: Stored) -> None:
    ingestion_id = stored([1], outcome="error", data=None, error="=cmd|' /C calc'!A0")
    (row,) = csv_rows(client, ingestion_id)
    assert (row["data"], row["error"]) == ("", "'=cmd|' /C calc'!A0")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param('{"a":[1,2.50,1e3]}', id="numbers keep their form"),
        pytest.param('"\\ud800"', id="a lone surrogate stays an escape"),
        pytest.param('{"a":1,"a":2}', id="what a parser would drop"),
        pytest.param("null", id="null"),
        pytest.param("-5", id="a negative number"),
    ],
)
def test_data_is_handed_out_exactly_as_it_is_stored(
    client: FlaskClient, stored: Stored, data: str
) -> None:
    ingestion_id = stored([1], data=data)
    for form in ("json", "ndjson"):
        assert f'"data":{data},"error"' in client.get(address(ingestion_id, f"format={form}")).text
    assert csv_rows(client, ingestion_id)[0]["data"] == data


def test_error_is_escaped(client: FlaskClient, stored: Stored) -> None:
    error = 'says "no"\nand \\ more'
    ingestion_id = stored([1], outcome="error", data=None, error=error)
    (found,) = client.get(address(ingestion_id)).json["records"]
    assert (found["outcome"], found["data"], found["error"]) == ("error", None, error)


@pytest.mark.parametrize(
    ("accept", "query", "content_type"),
    [
        pytest.param(None, "", "application/json", id="nothing said"),
        pytest.param("*/*", "", "application/json", id="curl"),
        pytest.param("text/html,*/*;q=0.8", "", "application/json", id="a browser"),
        pytest.param("application/*", "", "application/json", id="any application"),
        pytest.param(NDJSON, "", NDJSON, id="NDJSON"),
        pytest.param("text/*", "", CSV, id="any text"),
        pytest.param(f"{CSV};q=0.5, {NDJSON}", "", NDJSON, id="the better of two"),
        pytest.param(f"application/json;q=0, {CSV}", "", CSV, id="anything but JSON"),
        pytest.param(CSV, "format=ndjson", NDJSON, id="the query comes first"),
        pytest.param("image/png", "format=json", "application/json", id="whatever Accept says"),
    ],
)
def test_form_is_the_one_that_was_asked_for(
    client: FlaskClient,
    stored: Stored,
    accept: str | None,
    query: str,
    content_type: str,
) -> None:
    headers = {"Accept": accept} if accept else {}
    answer = client.get(address(stored([1]), query), headers=headers)
    assert answer.status_code == 200
    assert answer.mimetype == content_type
    assert "Accept" in answer.headers["Vary"]


@pytest.mark.parametrize("accept", ["image/png", "application/xml", "application/json;q=0"])
def test_other_forms_are_not_acceptable(client: FlaskClient, stored: Stored, accept: str) -> None:
    ingestion_id = stored([1])
    answer = client.get(f"/ingestions/{ingestion_id}/records", headers={"Accept": accept})
    assert "text/csv" in check_problem(answer, 406)["detail"]


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_stream_has_a_name_for_the_file(client: FlaskClient, stored: Stored, form: str) -> None:
    ingestion_id = stored([1])
    answer = client.get(address(ingestion_id, f"format={form}"))
    name = f"records-{ingestion_id}.{form}"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert "Content-Length" not in answer.headers


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        pytest.param("", [1, 2, 3, 4, 5], id="all"),
        pytest.param("after=2", [3, 4, 5], id="after a position"),
        pytest.param("limit=2", [1, 2], id="at most so many"),
        pytest.param("after=2&limit=2", [3, 4], id="both"),
        pytest.param("after=9", [], id="after the last"),
        pytest.param("outcome=missing", [], id="none of this outcome"),
        pytest.param("outcome=fetched&after=3", [4, 5], id="of an outcome, after a position"),
        pytest.param("pretty=1", [1, 2, 3, 4, 5], id="unknown parameters are ignored"),
    ],
)
def test_every_form_has_the_part_that_was_asked_for(
    client: FlaskClient, stored: Stored, query: str, positions: list[int]
) -> None:
    where = address(stored([1, 2, 3, 4, 5]), query)
    as_json = [one["position"] for one in client.get(where).json["records"]]
    lines = client.get(f"{where}&format=ndjson").text.splitlines()
    rows = client.get(f"{where}&format=csv").text.splitlines()[1:]
    assert as_json == positions
    assert [json.loads(line)["position"] for line in lines] == positions
    assert [int(row.split(",")[0]) for row in rows] == positions


@pytest.mark.parametrize("outcome", ["fetched", "missing", "error"])
def test_only_records_of_an_outcome(client: FlaskClient, stored: Stored, outcome: str) -> None:
    ingestion_id = stored([1], outcome=outcome)
    for one in ("fetched", "missing", "error"):
        found = client.get(address(ingestion_id, f"outcome={one}")).json["records"]
        assert len(found) == (one == outcome)


def follow(client: FlaskClient, where: str | None) -> list[list[int]]:
    pages = []
    while where:
        answer = client.get(where)
        pages.append([one["position"] for one in answer.json["records"]])
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
        where = link[1] if link else None
    return pages


@pytest.mark.parametrize(
    ("query", "pages"),
    [
        pytest.param("limit=2", [[1, 2], [3, 4], [5]], id="the last page is not full"),
        pytest.param("limit=5", [[1, 2, 3, 4, 5]], id="exactly all"),
        pytest.param("limit=2&outcome=fetched", [[1, 2], [3, 4], [5]], id="of an outcome"),
        pytest.param("limit=3&after=1&format=json", [[2, 3, 4], [5]], id="after a position"),
    ],
)
def test_next_links_lead_through_all_records_once(
    client: FlaskClient, stored: Stored, query: str, pages: list[list[int]]
) -> None:
    assert follow(client, address(stored([1, 2, 3, 4, 5]), query)) == pages


def test_page_of_long_records_ends_early(
    client: FlaskClient, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_forms, "PAGE_LENGTH", 300)
    ingestion_id = stored([1, 2, 3], data=json.dumps("x" * 200))
    assert follow(client, address(ingestion_id)) == [[1], [2], [3]]


def test_page_has_a_thousand_records_unless_said_otherwise(
    app: Flask, client: FlaskClient, submit: Submit
) -> None:
    ingestion_id = submit([1])
    with runtime_of(app).database.write() as connection:
        ids = json.dumps(list(range(1_001)))
        connection.execute(text("UPDATE batches SET ids = :ids"), {"ids": ids})
        connection.execute(
            text(
                "INSERT INTO records SELECT b.id, i.key + 1, i.value, 'missing', NULL, NULL,"
                " '2026-03-01 12:00:00.250000' FROM batches b, json_each(b.ids) i"
            )
        )
    assert [len(page) for page in follow(client, address(ingestion_id))] == [1_000, 1]
    assert [len(page) for page in follow(client, address(ingestion_id, "limit=10000"))] == [1_001]
    assert client.get(address(ingestion_id, "format=ndjson")).text.count("\n") == 1_001


def test_nothing_was_fetched_yet(client: FlaskClient, submit: Submit) -> None:
    ingestion_id = submit([1])
    assert client.get(address(ingestion_id)).json == {"records": []}
    assert client.get(address(ingestion_id, "format=ndjson")).text == ""
    assert client.get(address(ingestion_id, "format=csv")).text.count("\n") == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("limit=0", "limit", id="a page of nothing"),
        pytest.param("limit=10001", "limit", id="more than a page"),
        pytest.param("after=-1", "after", id="before the first"),
        pytest.param("outcome=lost", "outcome", id="no outcome"),
        pytest.param("format=xml", "format", id="no form"),
        pytest.param("format=", "format", id="empty"),
    ],
)
def test_a_bad_query_is_refused(
    client: FlaskClient, submit: Submit, query: str, field: str
) -> None:
    problem = check_problem(client.get(address(submit([1]), query)), 422)
    assert list(problem["errors"]) == [field]


def test_stream_is_sent_part_by_part(
    client: FlaskClient, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "RECORDS_A_READ", 2)
    where = address(stored([1, 2, 3, 4, 5]), "format=ndjson")
    sent = list(client.get(where, buffered=False).response)
    assert [part.count(b"\n") for part in sent if part] == [2, 2, 1]


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_fault_of_the_database_at_the_start_is_a_problem(
    client: FlaskClient, stored: Stored, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    where = address(stored([1]), f"format={form}")

    def read(_self: Database) -> None:
        raise DatabaseBusy("driver's text")

    monkeypatch.setattr(Database, "read", read)
    answer = client.get(where)
    assert answer.status_code == 503
    assert "driver's text" not in answer.text


def test_fault_in_the_middle_is_seen_as_a_broken_answer(
    client: FlaskClient, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not as a whole answer that lacks records.
    monkeypatch.setattr(records, "RECORDS_A_READ", 2)
    parts = iter(client.get(address(stored([1, 2, 3]), "format=ndjson"), buffered=False).response)
    next(parts)

    def read(_self: Database) -> None:
        raise DatabaseBusy("driver's text")

    monkeypatch.setattr(Database, "read", read)
    with pytest.raises(DatabaseBusy):
        list(parts)


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_head_answers_as_get_without_the_body(
    client: FlaskClient, stored: Stored, form: str
) -> None:
    answer = client.head(address(stored([1]), f"format={form}"))
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_page_that_has_not_changed_is_not_sent_again(
    app: Flask, client: FlaskClient, stored: Stored
) -> None:
    page = address(stored([1, 2]))
    tag = {"If-None-Match": client.get(page).headers["ETag"]}
    assert client.get(page, headers=tag).status_code == 304
    with runtime_of(app).database.write() as connection:
        connection.execute(text("UPDATE records SET data = '2' WHERE position = 2"))
    assert client.get(page, headers=tag).status_code == 200
