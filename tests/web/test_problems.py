from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from ingest_app import errors
from ingest_app.errors import DatabaseError, IngestError
from ingest_app.web.problems import STATUS_OF

from .conftest import check_problem

NOT_OVER_HTTP = {
    errors.KeyNameTaken,
    errors.UnknownKey,
    errors.UnusableKeyName,
    errors.SettingsError,  # at start
    errors.MigrationError,  # at start
    errors.MaintenanceRefused,  # an operator's
    errors.UnknownDelivery,  # the operator's, on the command line
    errors.NoEndpoint,  # the operator's, on the command line
    errors.StaleClaim,  # a worker's
    errors.SlotTaken,  # a worker's
    errors.UpstreamError,  # a worker's
    errors.UpstreamUnreachable,  # a worker's
    errors.UpstreamBusy,  # a worker's
    errors.UpstreamRejected,  # a worker's
    errors.RequestFailed,  # a client's
    errors.ForeignAnswer,  # a client's
}


def test_every_error_has_a_status_or_a_reason_to_have_none() -> None:
    ours = {error for error in vars(errors).values() if _is_ours(error)}
    covered = {error for error in ours if issubclass(error, tuple(STATUS_OF))}
    assert ours - covered - {IngestError} == NOT_OVER_HTTP


def _is_ours(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, IngestError)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/nowhere", id="no such route"),
        pytest.param("/ingest/", id="a slash too many"),
        pytest.param("/status/", id="no id"),
        pytest.param("/status", id="no id and no slash"),
        pytest.param("/status/a/b", id="a part too many"),
        pytest.param("/docs/", id="the docs page has no slash"),
    ],
)
def test_an_unknown_address_is_a_problem(client: FlaskClient, path: str) -> None:
    check_problem(client.get(path), 404)


def test_the_instance_is_a_uri_reference(client: FlaskClient) -> None:
    assert client.get("/%C3%A9 x").json["instance"] == "/%C3%A9%20x"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/ingest", {"POST", "OPTIONS"}),
        ("DELETE", "/ingest", {"POST", "OPTIONS"}),
        ("POST", "/status/x", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", "/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_allowed_says_which_are(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = client.open(path, method=method)
    check_problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_options_says_what_is_allowed(client: FlaskClient) -> None:
    answer = client.options("/ingest")
    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_an_error_of_ours_is_logged_and_not_shown(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_status(*_: object, **__: object) -> object:
        raise RuntimeError("secret")

    monkeypatch.setattr("ingest_app.web.status.read_status", read_status)
    answer = client.get("/status/x")
    check_problem(answer, 500)
    assert "secret" not in answer.text
    assert "RuntimeError: secret" in caplog.text


def test_a_database_error_answers_every_route(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_status(*_: object, **__: object) -> object:
        raise DatabaseError("secret")

    monkeypatch.setattr("ingest_app.web.status.read_status", read_status)
    answer = client.get("/status/x")
    check_problem(answer, 503)
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    "path", ["/healthz", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/nowhere", "/ingest"]
)
def test_no_answer_is_sniffed(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
