from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from ingest_app.runtime import runtime_of

from .conftest import check_problem

Submit = Callable[..., str]


def dispatch(app: Flask, source: str) -> None:
    """One dispatch that has just ended well."""
    query = (
        "INSERT INTO dispatches (source, batch_id, attempt, worker, dispatched_at, finished_at,"
        " outcome, interval_seconds, margin_seconds, newest_batch_id)"
        " SELECT :source, 1, 1, 'worker', t.now, t.now, 'completed', 5, 0.025, 1"
        " FROM (SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now') AS now) t"
    )
    with runtime_of(app).database.write() as connection:
        connection.execute(text(query), {"source": source})


@pytest.mark.parametrize(
    ("query", "span", "bucket_seconds", "bucket_count"),
    [
        pytest.param("", "hour", 60, 60, id="an hour without being asked for one"),
        pytest.param("span=hour", "hour", 60, 60, id="an hour"),
        pytest.param("span=day", "day", 900, 96, id="a day"),
    ],
)
def test_activity_has_a_count_for_each_outcome_and_bucket(
    client: FlaskClient, query: str, span: str, bucket_seconds: int, bucket_count: int
) -> None:
    answer = client.get(f"/activity?{query}").json
    assert (answer["span"], answer["bucket_seconds"]) == (span, bucket_seconds)
    assert answer["approximate"] is False
    assert len(answer["starts_at"]) == bucket_count
    assert all(re.fullmatch(r".{10}T\d\d:\d\d:00\.000000Z", at) for at in answer["starts_at"])
    outcomes = ("completed", "retried", "failed", "deferred", "released", "lost", "in_flight")
    assert answer["outcomes"] == {outcome: [0] * bucket_count for outcome in outcomes}


def test_slots_of_one_source(app: Flask, client: FlaskClient, submit: Submit) -> None:
    submit([1])
    for source in ("catalog", "catalog", "default"):
        dispatch(app, source)
    used = {
        query: sum(client.get(f"/activity?span=day&{query}").json["outcomes"]["completed"])
        for query in ("", "source=catalog", "source=default", "source=nowhere")
    }
    assert used == {"": 3, "source=catalog": 2, "source=default": 1, "source=nowhere": 0}


@pytest.mark.parametrize("query", ["span=week", "span=", "span=HOUR"])
def test_a_span_that_there_is_not_is_refused(client: FlaskClient, query: str) -> None:
    problem = check_problem(client.get(f"/activity?{query}"), 422)
    assert list(problem["errors"]) == ["span"]
