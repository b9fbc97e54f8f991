"""Whoever polls is sent an answer only when it has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from ingest_app.queue import listing
from ingest_app.queue.claim import claim_next_batch
from ingest_app.runtime import runtime_of
from ingest_app.web.revalidation import revalidate

Submit = Callable[..., str]
POLLED = [
    pytest.param("/sources", id="all sources"),
    pytest.param("/ingestions", id="the list"),
    pytest.param("/ingestions/{id}", id="one ingestion"),
    pytest.param("/ingestions/{id}/batches", id="its batches"),
    pytest.param("/status/{id}", id="one with its batches"),
]

# Told by the clock, and empty before and after a cancellation.
OTHERS_POLLED = ["/activity", "/ingestions/{id}/records"]


@pytest.mark.parametrize("address", POLLED)
def test_what_has_not_changed_is_not_sent_again(
    client: FlaskClient, submit: Submit, address: str
) -> None:
    address = address.format(id=submit([1, 2, 3, 4]))
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    for answer in (first, again):
        assert answer.headers["ETag"] == first.headers["ETag"]
        assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("address", POLLED)
def test_what_has_changed_is_sent(client: FlaskClient, submit: Submit, address: str) -> None:
    ingestion_id = submit([1, 2, 3, 4])
    address = address.format(id=ingestion_id)
    first = client.get(address)
    client.post(f"/ingestions/{ingestion_id}/cancel")
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 200
    assert again.headers["ETag"] != first.headers["ETag"]
    assert again.json != first.json


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param("{tag}", 304, id="the tag"),
        pytest.param('"other", {tag}', 304, id="one of several"),
        pytest.param("W/{tag}", 304, id="weak: a proxy that compresses makes it so"),
        pytest.param("*", 304, id="any"),
        pytest.param('"other"', 200, id="another"),
        pytest.param("", 200, id="none"),
    ],
)
def test_tags_are_compared_as_http_says(client: FlaskClient, sent: str, status: int) -> None:
    tag = client.get("/sources").headers["ETag"]
    answer = client.get("/sources", headers={"If-None-Match": sent.format(tag=tag)})
    assert answer.status_code == status


@pytest.mark.parametrize("address", POLLED)
def test_head_has_the_same_tag(client: FlaskClient, submit: Submit, address: str) -> None:
    address = address.format(id=submit([1]))
    assert client.head(address).headers["ETag"] == client.get(address).headers["ETag"]


def test_page_that_leads_on_is_not_one_that_ends(
    client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit([1])
    submit([2])
    ends = client.get("/ingestions?status=failed")
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 1)
    leads_on = client.get("/ingestions?status=failed")
    assert leads_on.json == ends.json
    assert leads_on.headers["ETag"] != ends.headers["ETag"]


def test_problems_have_no_tag(client: FlaskClient) -> None:
    answer = client.get(f"/ingestions/{'a' * 24}", headers={"If-None-Match": "*"})
    assert answer.status_code == 404
    assert "ETag" not in answer.headers


def test_streamed_answer_is_not_read_for_a_tag(app: Flask) -> None:
    parts = iter(["a", "b"])
    answer = Response(parts)
    with app.test_request_context():
        revalidate(answer)
    assert "ETag" not in answer.headers
    assert list(parts) == ["a", "b"]


def test_polled_routes_are_documented(client: FlaskClient) -> None:
    paths: dict[str, Any] = client.get("/openapi.json").json["paths"]
    for address in [*(str(row.values[0]) for row in POLLED), *OTHERS_POLLED]:
        route = paths[address.replace("{id}", "{ingestion_id}")]["get"]
        assert route["responses"]["304"] == {"$ref": "#/components/responses/NOT_MODIFIED"}
        assert "ETag" in route["responses"]["200"]["headers"]
        assert {"$ref": "#/components/parameters/IF_NONE_MATCH"} in route["parameters"]


@pytest.mark.parametrize("address", ["/sources", "/ingestions?forecast=true"])
def test_nothing_changes_while_all_wait_for_a_slot(
    app: Flask, client: FlaskClient, submit: Submit, address: str
) -> None:
    submit(list(range(9)))
    runtime = runtime_of(app)
    for _ in range(2):  # the second is refused: its slot is not open yet
        claim_next_batch(
            runtime.database, runtime.settings.source("default"), worker="w", clock=runtime.clock
        )
    first = client.get(address)
    assert "_at" in first.text
    tags = {client.get(address).headers["ETag"] for _ in range(5)}
    assert first.headers["ETag"] in tags
    # A time may be foretold just where it is rounded to the next hundredth of a second.
    assert len(tags) <= 2
