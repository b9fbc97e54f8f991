from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from ingest_app.events import REQUEST_ID, emit
from ingest_app.logs import JsonFormatter, OneLine
from ingest_app.worker import worker_name


def formatted(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert line.isascii()
    members: dict[str, Any] = json.loads(line)
    return members


def record_of(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("a.library", logging.WARNING, "x.py", 1, message, args, None)


@pytest.fixture
def emitted(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """An event with facts that a client has chosen."""
    emit(
        logging.getLogger("ingest_app.somewhere"),
        "batch_settled",
        level=logging.ERROR,
        batch_id=7,
        reason='a "b"\n2026 forged_event \u2028 \ud800',
        path=sys,
    )
    (record,) = caplog.records
    return record


def test_event_is_an_object_with_its_facts(emitted: logging.LogRecord) -> None:
    members = formatted(emitted)
    assert members["time"].endswith("+00:00")
    assert (members["level"], members["logger"]) == ("error", "ingest_app.somewhere")
    assert members["event"] == "batch_settled"
    assert members["facts"]["batch_id"] == 7
    assert members["facts"]["reason"].startswith('a "b"\n2026 forged_event')
    assert members["facts"]["path"] == str(sys)
    assert members["worker"] == worker_name()
    assert "message" not in members


def test_event_is_one_line_of_plain_text(emitted: logging.LogRecord) -> None:
    assert emitted.getMessage().startswith(r'batch_settled batch_id=7 reason=a "b"\n2026 forged')
    assert emitted.getMessage().isprintable()


def test_records_of_others_have_a_message() -> None:
    members = formatted(record_of("%s and\n%s", "this", "that"))
    assert members["message"] == "this and\nthat"
    assert {"event", "facts", "request_id", "exception"} & members.keys() == set()


def test_exception_has_its_traceback() -> None:
    try:
        raise ValueError("it broke")
    except ValueError:
        record = record_of("crashed")
        record.exc_info = sys.exc_info()
    assert "ValueError: it broke" in formatted(record)["exception"]


def test_records_of_a_request_have_its_id() -> None:
    token = REQUEST_ID.set("mine")
    try:
        assert formatted(record_of("said"))["request_id"] == "mine"
    finally:
        REQUEST_ID.reset(token)
    assert "request_id" not in formatted(record_of("said"))


def test_worker_is_the_process_that_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, before = worker_name(), formatted(record_of("said"))["worker"]
    monkeypatch.setattr("ingest_app.logs.os.getpid", lambda: -1)
    monkeypatch.setattr("ingest_app.logs.worker_name", lambda: "the child")
    assert (before, formatted(record_of("said"))["worker"]) == (ours, "the child")


def test_record_is_put_on_one_line() -> None:
    record = record_of("Exception on %s [%d]\n%%s", "/a\nb", 5)
    assert OneLine().filter(record)
    assert record.getMessage() == r"Exception on /a\nb [5]\n%s"
