from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from ingest_app.errors import DatabaseBusy, DatabaseError, DatabaseFull, DatabaseUnavailable
from ingest_app.web import parsing

from .conftest import MAX_BODY_BYTES, MAX_IDS, check_problem

INT64_LEAST = -(2**63)
INT64_MOST = 2**63 - 1
EXACT_MOST = 2**53 - 1
RowCount = Callable[[], int]
Submit = Callable[..., str]


def test_submission_is_acknowledged_with_its_id_and_location(client: FlaskClient) -> None:
    answer = client.post("/ingest", json={"ids": [1, 2, 3, 4, 5], "priority": "HIGH"})
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert list(answer.json) == ["ingestion_id"]
    assert re.fullmatch(r"[a-z2-7]{24}", answer.json["ingestion_id"])
    assert answer.headers["Location"] == f"/status/{answer.json['ingestion_id']}"


def test_source_decides_the_batch_size(client: FlaskClient, submit: Submit) -> None:
    ingestion_id = submit([1, 2, 3], source="catalog")
    batches = client.get(f"/status/{ingestion_id}").json["batches"]
    assert [batch["ids"] for batch in batches] == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        pytest.param("[2, 1, 2]", [2, 1, 2], id="order and duplicates are kept"),
        pytest.param(f"[{INT64_LEAST}]", [INT64_LEAST], id="least int64"),
        pytest.param(f"[{INT64_MOST}]", [INT64_MOST], id="largest int64"),
        pytest.param("[9.0, -0.0, 1e3]", [9, 0, 1000], id="floats without a fraction"),
        pytest.param(f"[{EXACT_MOST}.0]", [EXACT_MOST], id="largest float for one integer"),
        pytest.param('["5", 5]', ["5", 5], id="a string of digits stays a string"),
        pytest.param('["5", 9.0]', ["5", 9], id="both kinds and a whole float"),
        pytest.param('["' + "é" * 255 + '"]', ["é" * 255], id="255 characters, not bytes"),
        pytest.param('["\\ud83d\\ude00"]', ["\U0001f600"], id="a surrogate pair is one character"),
        pytest.param('["\\u0001 \\u007f"]', ["\x01 \x7f"], id="control characters but NUL"),
        pytest.param(r'["\"\\"]', ['"\\'], id="quotes and backslashes"),
        pytest.param(json.dumps([7] * MAX_IDS), [7] * MAX_IDS, id="exactly max_ids"),
    ],
)
def test_allowed_ids_come_back_as_they_were_sent(
    client: FlaskClient, sent: str, stored: list[Any]
) -> None:
    answer = _post(client, f'{{"ids": {sent}, "priority": "LOW"}}')
    assert answer.status_code == 200, answer.text
    found = client.get(answer.headers["Location"]).json
    ids = [one for batch in found["batches"] for one in batch["ids"]]
    assert ids == stored
    assert [type(one) for one in ids] == [type(one) for one in stored]


@pytest.mark.parametrize(
    ("ids", "position"),
    [
        pytest.param("[1, true]", "1", id="a boolean is not the integer 1"),
        pytest.param("[false]", "0", id="not even when all are"),
        pytest.param("[1, 2, null]", "2", id="null"),
        pytest.param("[5.5]", "0", id="a fraction"),
        pytest.param("[1e400]", "0", id="a float that is infinite once read"),
        pytest.param("[9007199254740993.0]", "0", id="2**53 + 1 would silently become another ID"),
        pytest.param("[1e18]", "0", id="a float that stands for several integers"),
        pytest.param(f"[1, {INT64_MOST + 1}]", "1", id="above int64: SQLite would overflow"),
        pytest.param(f"[{INT64_LEAST - 1}]", "0", id="below int64"),
        pytest.param(f'["a", {INT64_MOST + 1}]', "1", id="above int64 among strings"),
        pytest.param('[""]', "0", id="an empty string"),
        pytest.param('["a", ""]', "1", id="an empty string after another"),
        pytest.param('["' + "x" * 256 + '"]', "0", id="256 characters"),
        pytest.param('["a\\u0000b"]', "0", id="NUL: PostgreSQL refuses it"),
        pytest.param('["\\ud800"]', "0", id="a lone surrogate: not UTF-8"),
        pytest.param('["\\ude00", "\\ud83d"]', "0", id="halves in two strings are no pair"),
        pytest.param('[1, "\\ud800"]', "1", id="a lone surrogate among integers"),
        pytest.param("[[1]]", "0", id="an array"),
        pytest.param('[{"a": 1}]', "0", id="an object"),
    ],
)
def test_an_id_that_is_not_allowed_is_named_by_its_position(
    client: FlaskClient, row_count: RowCount, ids: str, position: str
) -> None:
    answer = _post(client, f'{{"ids": {ids}, "priority": "LOW"}}')
    errors = check_problem(answer, 422)["errors"]["ids"]
    assert position in errors
    assert f"from {INT64_LEAST} to {INT64_MOST}" in errors[position][0]
    assert row_count() == 0


def test_only_the_first_ten_bad_positions_are_listed(client: FlaskClient) -> None:
    answer = client.post("/ingest", json={"ids": [1] + [None] * 13, "priority": "LOW"})
    errors = check_problem(answer, 422)["errors"]["ids"]
    assert list(errors) == [str(position) for position in range(1, 11)] + ["more"]
    assert errors["more"] == ["3 more are not listed."]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 300, id="a long string"),
        pytest.param("\ud800" * 300, id="characters that take six each in JSON"),
        pytest.param(10**300, id="a long integer"),
        pytest.param([["x" * 300]], id="nested"),
    ],
)
def test_a_long_value_is_not_echoed_whole(client: FlaskClient, value: object) -> None:
    answer = client.post("/ingest", json={"ids": [value], "priority": "LOW"})
    (message,) = check_problem(answer, 422)["errors"]["ids"]["0"]
    assert len(message) < 250


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"ids": []}, "ids", id="no IDs"),
        pytest.param({"ids": [1] * (MAX_IDS + 1)}, "ids", id="one more than max_ids"),
        pytest.param({"ids": "123"}, "ids", id="a string is not an array"),
        pytest.param({"ids": {"0": 1}}, "ids", id="an object is not an array"),
        pytest.param({"ids": None}, "ids", id="null is not an array"),
        pytest.param({"ids": 5}, "ids", id="one ID without its array"),
        pytest.param({"priority": "high"}, "priority", id="lower case"),
        pytest.param({"priority": 0}, "priority", id="the rank instead of the word"),
        pytest.param({"priority": None}, "priority", id="null is not the default"),
        pytest.param({"priority": ["HIGH"]}, "priority", id="an unhashable value"),
        pytest.param({"priority": "\ud800"}, "priority", id="a lone surrogate"),
        pytest.param({"source": "nowhere"}, "source", id="a source that is not configured"),
        pytest.param({"source": ""}, "source", id="empty is not the default"),
        pytest.param({"source": None}, "source", id="null is not the default"),
        pytest.param({"source": 5}, "source", id="not a string"),
        pytest.param({"sauce": "default"}, "sauce", id="a misspelt field would be ignored"),
    ],
)
def test_a_field_that_is_not_allowed_is_named(
    client: FlaskClient, row_count: RowCount, body: dict[str, object], field: str
) -> None:
    answer = client.post("/ingest", json={"ids": [1], "priority": "LOW", **body})
    assert list(check_problem(answer, 422)["errors"]) == [field]
    assert row_count() == 0


def test_all_bad_fields_are_named_at_once(client: FlaskClient) -> None:
    answer = client.post("/ingest", json={"ids": [], "more_ids": []})
    assert set(check_problem(answer, 422)["errors"]) == {"ids", "priority", "more_ids"}


def test_unknown_source_names_the_known_ones(client: FlaskClient) -> None:
    answer = client.post("/ingest", json={"ids": [1], "priority": "LOW", "source": "nowhere"})
    (message,) = check_problem(answer, 422)["errors"]["source"]
    assert "catalog, default" in message


def test_unknown_fields_are_cut_in_number_and_length(client: FlaskClient) -> None:
    unknown = {f"{'x' * 100}{number}": 0 for number in range(20)}
    answer = client.post("/ingest", json={"ids": [1], "priority": "LOW", **unknown})
    errors = check_problem(answer, 422)["errors"]
    assert len(errors) <= 11
    assert max(map(len, errors)) <= 60
    assert errors["more"] == ["10 more are not listed."]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"ids": [1], "priority": "HIGH"} x', id="text after the object"),
        pytest.param(b"{'ids': [1], 'priority': 'HIGH'}", id="Python instead of JSON"),
        pytest.param(b'{"ids": ["\xff"], "priority": "HIGH"}', id="not UTF-8"),
        pytest.param('{"ids": [1], "priority": "HIGH"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"ids": [NaN], "priority": "HIGH"}', id="NaN is not JSON"),
        pytest.param(b'{"ids": [-Infinity], "priority": "HIGH"}', id="nor is Infinity"),
        pytest.param(b'{"ids": [01], "priority": "HIGH"}', id="nor a leading zero"),
        pytest.param(b'{"ids": ["a\nb"], "priority": "HIGH"}', id="nor a raw line feed"),
        pytest.param(b'{"ids": ' + b"[" * 3000 + b"]" * 1000, id="deeper than the parser's stack"),
    ],
)
def test_what_is_not_json_is_refused(client: FlaskClient, row_count: RowCount, body: bytes) -> None:
    check_problem(_post(client, body), 400)
    assert row_count() == 0


def test_an_integer_of_thousands_of_digits_is_refused(client: FlaskClient) -> None:
    # int() refuses more than 4300 by default.
    body = f'{{"ids": [{"9" * 5000}], "priority": "HIGH"}}'
    check_problem(_post(client, body), 400)


@pytest.mark.parametrize("body", ["[1, 2]", '"HIGH"', "5", "null", "true"])
def test_json_that_is_not_an_object_is_refused(
    client: FlaskClient, row_count: RowCount, body: str
) -> None:
    assert list(check_problem(_post(client, body), 422)["errors"]) == ["body"]
    assert row_count() == 0


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("text/plain", id="a browser's form can send this without asking"),
        pytest.param("application/x-www-form-urlencoded", id="curl -d without a header"),
        pytest.param("application/jsonp", id="only looks like JSON"),
        pytest.param("image/svg+json", id="+json outside application/"),
        pytest.param("", id="empty"),
        pytest.param(None, id="missing"),
    ],
)
def test_other_content_types_are_refused(
    client: FlaskClient, row_count: RowCount, content_type: str | None
) -> None:
    answer = client.post(
        "/ingest", data='{"ids": [1], "priority": "LOW"}', content_type=content_type
    )
    assert "application/json" in check_problem(answer, 415)["detail"]
    assert row_count() == 0


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/json; charset=utf-8", id="with a parameter"),
        pytest.param("Application/JSON", id="in any case"),
        pytest.param("application/vnd.ids+json", id="a JSON of its own"),
    ],
)
def test_all_kinds_of_json_are_taken(client: FlaskClient, content_type: str) -> None:
    body = '{"ids": [1], "priority": "LOW"}'
    answer = client.post("/ingest", data=body, content_type=content_type)
    assert answer.status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "x"])
def test_compressed_body_is_refused_unread(client: FlaskClient, encoding: str) -> None:
    bomb = gzip.compress(b'{"ids": [' + b"1, " * 1_000 + b'1], "priority": "LOW"}')
    headers = {"Content-Encoding": encoding}
    answer = client.post("/ingest", data=bomb, headers=headers, content_type="application/json")
    assert "Content-Encoding" in check_problem(answer, 415)["detail"]


def test_a_body_of_exactly_the_limit_is_taken(client: FlaskClient) -> None:
    assert _post(client, _padded(MAX_BODY_BYTES)).status_code == 200


def test_a_larger_body_is_refused(client: FlaskClient, row_count: RowCount) -> None:
    answer = _post(client, _padded(MAX_BODY_BYTES + 1))
    assert str(MAX_BODY_BYTES) in check_problem(answer, 413)["detail"]
    assert row_count() == 0


def test_a_larger_body_of_unknown_length_is_refused(
    client: FlaskClient, row_count: RowCount
) -> None:
    check_problem(_post_chunked(client, _padded(MAX_BODY_BYTES + 1)), 413)
    assert row_count() == 0


def test_a_body_of_unknown_length_and_exactly_the_limit_is_taken(client: FlaskClient) -> None:
    assert _post_chunked(client, _padded(MAX_BODY_BYTES)).status_code == 200


@pytest.mark.parametrize("error_type", [DatabaseBusy, DatabaseFull, DatabaseUnavailable])
def test_a_fault_of_the_database_says_when_to_try_again(
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error_type: type[DatabaseError],
) -> None:
    def submit_ingestion(*_: object, **__: object) -> str:
        raise error_type("driver's text")

    monkeypatch.setattr("ingest_app.web.submission.submit_ingestion", submit_ingestion)
    answer = client.post("/ingest", json={"ids": [1], "priority": "LOW"})
    check_problem(answer, 503)
    assert answer.headers["Retry-After"] == str(error_type.retry_after_seconds)
    assert "driver's text" not in answer.text
    assert "driver's text" in caplog.text


def _post(client: FlaskClient, body: str | bytes) -> Any:
    return client.post("/ingest", data=body, content_type="application/json")


def _post_chunked(client: FlaskClient, body: bytes) -> Any:
    # As gunicorn hands over a chunked body: no length, and an input that ends by itself.
    return client.post(
        "/ingest",
        input_stream=io.BytesIO(body),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        content_type="application/json",
    )


def _padded(size: int) -> bytes:
    return b'{"ids": [1], "priority": "LOW"}'.ljust(size)


def test_field_that_stands_twice_is_refused_and_not_half_taken(client: FlaskClient) -> None:
    body = '{"ids": [1], "ids": [2], "priority": "HIGH"}'
    answer = client.post("/ingest", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert "twice" in answer.get_json()["detail"]


@pytest.mark.parametrize("value", ["[]", "{}", "[[]]"])
def test_body_of_too_many_values_is_refused_before_they_are_built(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(parsing, "_SEPARATORS_BESIDE", 0)
    monkeypatch.setattr(parsing, "parse_json", pytest.fail)
    many = ",".join([value] * (4 * MAX_IDS + 1))
    answer = client.post("/ingest", data=f'{{"ids":[{many}]}}', content_type="application/json")
    assert answer.status_code == 422
    assert str(MAX_IDS) in answer.get_json()["errors"]["ids"][0]
