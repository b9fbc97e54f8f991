from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from .conftest import check_problem

RowCount = Callable[[], int]


def post(client: FlaskClient, key: str, **more: object) -> TestResponse:
    body = {"ids": [1, 2], "priority": "LOW", **more}
    return client.post("/ingest", json=body, headers={"Idempotency-Key": key})


def test_same_submission_is_answered_the_same(client: FlaskClient, row_count: RowCount) -> None:
    first = post(client, '"order-17"')
    again = post(client, '"order-17"')
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert row_count() == 2


def test_what_is_left_out_is_the_same_as_its_default(client: FlaskClient) -> None:
    assert post(client, "k", source="default").json == post(client, "k").json


def test_other_submission_with_the_key_is_refused(client: FlaskClient, row_count: RowCount) -> None:
    post(client, '"order-17"')
    problem = check_problem(post(client, '"order-17"', ids=[3]), 422)
    assert list(problem["errors"]) == ["Idempotency-Key"]
    assert row_count() == 2


def test_refused_submission_leaves_its_key_free(client: FlaskClient) -> None:
    check_problem(post(client, "k", ids=[None]), 422)
    assert post(client, "k").status_code == 200


@pytest.mark.parametrize(
    ("key", "same"),
    [
        pytest.param('"abc"', "abc", id="bare is the same key"),
        pytest.param(r'"a\"b"', r'"a\"b"', id="an escaped quote"),
        pytest.param(r'"a\\b"', r'"a\\b"', id="an escaped backslash"),
        pytest.param('"a,b;c=d"', '"a,b;c=d"', id="a list and parameters, between quotes"),
        pytest.param("8e03978e-40d5-43dd-bc93-6894a57f9324", None, id="a bare UUID"),
        pytest.param("a+/b==", None, id="bare base64"),
        pytest.param('"' + "x" * 255 + '"', "x" * 255, id="255 characters"),
        pytest.param('"' + r"\"" * 255 + '"', None, id="255 characters, each escaped"),
    ],
)
def test_keys_that_are_taken(client: FlaskClient, key: str, same: str | None) -> None:
    first = post(client, key)
    assert first.status_code == 200, first.text
    assert post(client, same or key).json == first.json


def test_escapes_are_not_part_of_the_key(client: FlaskClient) -> None:
    assert post(client, r'"a\\b"').json != post(client, '"ab"').json


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param('""', id="empty between quotes"),
        pytest.param("x" * 256, id="256 characters"),
        pytest.param('"' + "x" * 256 + '"', id="256 characters between quotes"),
        pytest.param('"abc', id="no closing quote"),
        pytest.param('abc"', id="no opening quote"),
        pytest.param('"a"b"', id="a quote that is not escaped"),
        pytest.param(r'"a\b"', id="an escape of something else"),
        pytest.param(r'"abc\"', id="the closing quote escaped"),
        pytest.param(r"a\b", id="a bare backslash"),
        pytest.param('"a","b"', id="two keys: two headers are joined so"),
        pytest.param("a,b", id="two bare keys"),
        pytest.param('"a";b=c', id="a parameter"),
        pytest.param("a b", id="a space"),
        pytest.param('"a b"', id="a space between quotes"),
        pytest.param('"a\tb"', id="a tab"),
        pytest.param('"é"', id="not ASCII"),
        pytest.param('"a\x7f"', id="not visible"),
    ],
)
def test_other_keys_are_refused_and_nothing_is_stored(
    client: FlaskClient, row_count: RowCount, key: str
) -> None:
    problem = check_problem(post(client, key), 400)
    assert "Idempotency-Key" in problem["detail"]
    assert row_count() == 0


def test_key_is_documented(client: FlaskClient) -> None:
    path = client.get("/openapi.json").json["paths"]["/ingest"]
    parameters = path.get("parameters", []) + path["post"].get("parameters", [])
    (parameter,) = [one for one in parameters if one["name"] == "Idempotency-Key"]
    assert (parameter["in"], parameter.get("required", False)) == ("header", False)
    assert "422" in json.dumps(parameter["description"])
