from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from .conftest import MAX_IDS, check_problem

Submit = Callable[..., str]


def ask(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/forecast", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_a_forecast_tells_what_goes_before_and_when(client: FlaskClient, submit: Submit) -> None:
    submit([1, 2, 3, 4])
    ingestion_id = submit([5, 6, 7, 8], priority="LOW")
    foretold = client.get(f"/ingestions/{ingestion_id}/forecast").json
    assert {key: foretold[key] for key in foretold if not key.endswith("_at")} == {
        "ingestion_id": ingestion_id,
        "status": "yet_to_start",
        "source": "default",
        "waiting_count": 2,
        "batches_ahead": 2,
        "remaining_seconds": pytest.approx(3 * 5.025),
        "pace_seconds": 5.025,
        "waits_for": None,
        "approximate": True,
        "caveats": ["No call has ended yet, so how long one takes is not counted in."],
    }
    assert foretold["next_starts_at"] < foretold["finishes_at"]


def test_an_ingestion_that_does_not_exist_has_no_forecast(client: FlaskClient) -> None:
    check_problem(client.get(f"/ingestions/{'a' * 24}/forecast"), 404)


def test_the_list_has_forecasts_when_asked(client: FlaskClient, submit: Submit) -> None:
    ended, going_on = submit([1]), submit([2])
    client.post(f"/ingestions/{ended}/cancel")
    listed = client.get("/ingestions?forecast=true").json["ingestions"]
    forecasts = {entry["ingestion_id"]: entry["forecast"] for entry in listed}
    assert forecasts[ended] is None
    assert sorted(forecasts[going_on]) == [
        "approximate",
        "batches_ahead",
        "finishes_at",
        "next_starts_at",
        "remaining_seconds",
    ]
    plain = client.get("/ingestions").json["ingestions"]
    assert not any("forecast" in entry for entry in plain)


def test_the_next_page_has_forecasts_too(client: FlaskClient, submit: Submit) -> None:
    for _ in range(2):
        submit([1])
    link = client.get("/ingestions?forecast=true&limit=1&priority=HIGH").headers["Link"]
    address = link[1 : link.index(">")]
    assert "priority=HIGH" in address
    (entry,) = client.get(address).json["ingestions"]
    assert entry["forecast"]["batches_ahead"] == 0


def test_a_preview_tells_each_priority_and_stores_nothing(
    client: FlaskClient, submit: Submit
) -> None:
    submit([1, 2, 3, 4], priority="MEDIUM")
    foretold = ask(client, id_count=7)
    assert (foretold["source"], foretold["id_count"], foretold["batch_count"]) == ("default", 7, 3)
    assert {
        name: (each["batches_ahead"], each["delays"]["ingestion_count"])
        for name, each in foretold["priorities"].items()
    } == {"HIGH": (0, 1), "MEDIUM": (2, 0), "LOW": (2, 0)}
    assert foretold["priorities"]["HIGH"]["delays"]["seconds"] == pytest.approx(3 * 5.025)
    assert len(client.get("/ingestions").json["ingestions"]) == 1


def test_ids_are_checked_as_those_of_a_submission(client: FlaskClient) -> None:
    assert ask(client, ids=[1, "b", 3], source="catalog")["batch_count"] == 2
    problem = check_problem(client.post("/forecast", json={"ids": [1, "", 3]}), 422)
    assert list(problem["errors"]["ids"]) == ["1"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "id_count", id="neither"),
        pytest.param({"id_count": 1, "ids": [1]}, "id_count", id="both"),
        pytest.param({"id_count": 0}, "id_count", id="none at all"),
        pytest.param({"id_count": "5"}, "id_count", id="a string"),
        pytest.param({"id_count": 2.5}, "id_count", id="no whole number"),
        pytest.param({"id_count": True}, "id_count", id="a boolean, which Python counts as one"),
        pytest.param({"id_count": 10**9 + 1}, "id_count", id="more than anybody has"),
        pytest.param({"id_count": 1, "source": "no-such"}, "source", id="an unknown source"),
        pytest.param({"id_count": 1, "priority": "HIGH"}, "priority", id="an unknown field"),
        pytest.param({"ids": list(range(MAX_IDS + 1))}, "ids", id="more than one submission has"),
    ],
)
def test_what_cannot_be_foretold_is_refused(
    client: FlaskClient, body: dict[str, Any], field: str
) -> None:
    assert field in check_problem(client.post("/forecast", json=body), 422)["errors"]


def test_more_ids_than_one_submission_has_can_be_asked_for(client: FlaskClient) -> None:
    assert ask(client, id_count=10**9)["batch_count"] == 333_333_334
