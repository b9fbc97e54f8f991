"""What the endpoint gets and what comes of its answers; the thread that sends, and its end."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from ingest_app import source_loop
from ingest_app.clock import SystemClock
from ingest_app.deadline import Deadline
from ingest_app.dispatcher import Dispatcher
from ingest_app.errors import DatabaseBusy
from ingest_app.queue.control import cancel_ingestion, retry_ingestion
from ingest_app.queue.deliveries import claim_delivery, mark_delivered, seconds_until_due
from ingest_app.queue.delivery_listing import DeliveryEntry, list_deliveries
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.queue.listing import IngestionEntry
from ingest_app.queue.submit import submit_ingestion
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.settings import Settings, SourceSettings
from ingest_app.states import Priority
from ingest_app.webhook_settings import new_secret
from ingest_app.webhooks import Webhooks, endpoint, sender, telling
from ingest_app.webhooks.endpoint import Endpoint
from ingest_app.webhooks.sender import Sender
from tests.support.fetching import TIMEOUT_SECONDS, FakeSource
from tests.support.queues import Queue
from tests.support.raw_answers import raw, reply
from tests.support.raw_upstream import Answer, Exchange, Upstream, serving

SECRET = new_secret()
KEY = "plugh"
FAR_AWAY_SECONDS = 600.0


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def describe(entry: IngestionEntry) -> Mapping[str, Any]:
    return {"ingestion_id": entry.ingestion_id}


@dataclass(frozen=True)
class Rig:
    """A queue some of whose ingestions have ended, and an endpoint to be told."""

    queue: Queue
    upstream: Upstream
    sender: Sender

    def end(self) -> str:
        ingestion_id = self.queue.submit()
        cancel_ingestion(self.queue.database, ingestion_id, clock=self.queue.clock)
        return ingestion_id

    def entries(self) -> list[DeliveryEntry]:
        return list(list_deliveries(self.queue.database, limit=100))

    def state(self) -> tuple[str, str | None]:
        (entry,) = self.entries()
        return entry.state.value, entry.last_error


def settings_for(upstream: Upstream) -> Settings:
    url = f"{upstream.url}/hook?key={KEY}"
    return Settings("sqlite:///none.db", webhook_url=url, webhook_secret=SECRET)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serving(reply(b"thanks")) as upstream:
        yield upstream


@pytest.fixture
def rig(queue: Queue, upstream: Upstream) -> Rig:
    return rig_of(queue, upstream)


def rig_of(queue: Queue, upstream: Upstream) -> Rig:
    queue.change(
        "INSERT INTO webhook_endpoints (name, created_at)"
        " VALUES ('default', '2026-03-01 12:00:00.000000')"
    )
    settings = settings_for(upstream)
    runtime = Runtime(settings, queue.database, queue.clock)
    told = Endpoint(str(settings.webhook_url), SECRET)
    return Rig(queue.using(interval_seconds=0), upstream, Sender(runtime, told, describe))


def test_endpoint_is_told_in_a_signed_request(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ingest_app")
    ingestion_id = rig.end()
    assert rig.sender.send_next() == 0
    (seen,) = rig.upstream.seen
    assert (seen.method, seen.target) == ("POST", f"/hook?key={KEY}")
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("ingest-app/")
    timestamp = str(int(rig.queue.clock.read().at.timestamp()))
    assert seen.headers["webhook-timestamp"] == timestamp
    signature = Webhook(SECRET).sign(
        seen.headers["webhook-id"], rig.queue.clock.read().at, seen.body.decode()
    )
    assert seen.headers["webhook-signature"] == signature
    assert rig.state() == ("delivered", None)
    (record,) = [one for one in caplog.records if getattr(one, "event", "") == "webhook_delivered"]
    facts = {"ingestion_id": ingestion_id, "delivery_id": 1, "attempt": 1, "status": 200}
    assert vars(record)["facts"] == facts


def test_every_attempt_has_the_same_id_and_body_and_a_time_of_its_own(rig: Rig) -> None:
    rig.upstream.answer = reply(b"", 500)
    rig.end()
    rig.sender.send_next()
    rig.queue.clock.move(10)
    rig.upstream.answer = reply(b"")
    rig.sender.send_next()
    first, second = rig.upstream.seen
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert first.connection == second.connection
    assert rig.state() == ("delivered", None)


def hang(exchange: Exchange) -> None:
    exchange.server.stopping.wait(TIMEOUT_SECONDS)
    exchange.close_connection = True


def drip(exchange: Exchange) -> None:
    exchange.drip(b"H")


FAULTS: dict[str, tuple[Answer, str]] = {
    "refused": (reply(b"", 400), "HTTP 400 Bad Request."),
    "broken": (reply(b"plugh", 500), "HTTP 500 Internal Server Error."),
    "sent elsewhere": (reply(b"", 302, Location="/elsewhere"), "HTTP 302 Found."),
    "sent elsewhere for good": (
        reply(b"", 308, Location="/elsewhere"),
        "HTTP 308 Permanent Redirect.",
    ),
    "busy": (reply(b"", 429), "HTTP 429 Too Many Requests."),
    "a status of its own": (raw(b"HTTP/1.1 799 plugh\r\n\r\n"), "HTTP 799."),
    "no HTTP": (raw(b"plugh\r\n"), "The answer is not HTTP."),
    "hung up": (raw(b""), "The connection was closed without an answer."),
    "no answer": (hang, "No answer in time."),
    "an answer that never ends to begin": (drip, "No answer in time."),
}


@pytest.mark.parametrize(("answer", "told"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_success_is_tried_again_and_shows_nothing_secret(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    told: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    if answer in (hang, drip):
        monkeypatch.setattr(rig.sender._endpoint._wire, "_timeout_seconds", 0.5)
    rig.upstream.answer = answer
    ingestion_id = rig.end()
    rig.sender.send_next()
    assert len(rig.upstream.seen) == 1
    state, error = rig.state()
    assert (state, error) == ("waiting", told)
    (record,) = [one for one in caplog.records if getattr(one, "event", "") == "webhook_failed"]
    assert vars(record)["facts"]["ingestion_id"] == ingestion_id
    assert KEY not in caplog.text
    assert SECRET.removeprefix("whsec_") not in caplog.text


def test_body_of_an_answer_is_not_read_for_ever(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.sender._endpoint._wire, "_max_bytes", 10)
    rig.upstream.answer = reply(b"x" * 1_000_000)
    rig.end()
    rig.sender.send_next()
    assert rig.state() == ("delivered", None)


def test_endpoint_that_is_down_is_tried_again(queue: Queue) -> None:
    with serving(reply(b"")) as gone:
        pass
    rig = rig_of(queue, gone)
    rig.end()
    rig.sender.send_next()
    assert rig.state() == ("waiting", "Connection refused.")


def test_certificate_that_nobody_vouches_for_is_not_believed(queue: Queue) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with serving(reply(b""), context) as upstream:
        rig = rig_of(queue, upstream)
        rig.end()
        rig.sender.send_next()
        assert upstream.seen == []
    state, error = rig.state()
    assert state == "waiting"
    assert str(error).startswith("The certificate was not accepted")


def test_gone_is_given_up(rig: Rig) -> None:
    rig.upstream.answer = reply(b"", 410)
    rig.end()
    rig.sender.send_next()
    assert rig.state() == ("given_up", "HTTP 410 Gone.")


def test_time_to_wait_that_the_endpoint_names_is_kept(rig: Rig) -> None:
    rig.upstream.answer = reply(b"", 503, Retry_After="120")
    rig.end()
    rig.sender.send_next()
    rig.queue.clock.move(119)
    assert rig.sender.send_next() == 1
    rig.queue.clock.move(1)
    rig.sender.send_next()
    assert len(rig.upstream.seen) == 2


def test_of_what_has_no_batches_any_more_nothing_is_told_and_that_is_said(rig: Rig) -> None:
    rig.end()
    rig.queue.change("DELETE FROM batches")
    rig.sender.send_next()
    state, error = rig.state()
    assert (state, str(error)[:22]) == ("given_up", "It has no batches any ")
    assert rig.upstream.seen == []


def test_of_what_was_retried_since_there_is_nothing_to_tell(rig: Rig) -> None:
    ingestion_id = rig.queue.submit()
    rig.queue.fail(rig.queue.claim())
    retry_ingestion(rig.queue.database, ingestion_id)
    rig.sender.send_next()
    state, error = rig.state()
    assert (state, str(error)[:22]) == ("given_up", "It was put under way a")
    rig.queue.clock.move(1)
    rig.queue.complete(rig.queue.claim())
    rig.sender.send_next()
    (seen,) = rig.upstream.seen
    assert b'"type":"ingestion.completed"' in seen.body
    assert [entry.state.value for entry in rig.entries()] == ["delivered", "given_up"]


def test_mistake_of_ours_counts_as_an_attempt(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.sender, "_describe", lambda entry: {"object": object(), **vars(entry)})
    rig.end()
    rig.sender.send_next()
    assert rig.state() == ("waiting", "A fault of the service: TypeError.")


def test_what_cannot_be_recorded_now_is_recorded_later_and_not_told_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [DatabaseBusy("busy"), DatabaseBusy("busy")]

    def mark_late(*given: Any, **more: Any) -> bool:
        if faults:
            raise faults.pop()
        return mark_delivered(*given, **more)

    monkeypatch.setattr(sender, "mark_delivered", mark_late)
    monkeypatch.setattr(sender, "_FAULT_SECONDS", 0.001)
    rig.end()
    rig.sender.send_next()
    assert (rig.state(), len(rig.upstream.seen)) == (("delivered", None), 1)


class Told:
    """An answer that says when the endpoint was told."""

    def __init__(self) -> None:
        self._called = threading.Semaphore(0)

    def __call__(self, exchange: Exchange) -> None:
        self._called.release()
        exchange.reply(b"")

    def wait(self) -> None:
        assert self._called.acquire(timeout=TIMEOUT_SECONDS), "the endpoint was not told"


@pytest.fixture
def told(upstream: Upstream) -> Told:
    told = Told()
    upstream.answer = told
    return told


Start = Callable[..., Webhooks]


@pytest.fixture
def start(queue: Queue, upstream: Upstream) -> Iterator[Start]:
    """Let the webhooks of one process run."""
    running = []

    def start(**changed: Any) -> Webhooks:
        settings = replace(settings_for(upstream), **changed)
        runtime = Runtime(settings, queue.database, SystemClock())
        webhooks = Webhooks(runtime, describe=describe)
        scheduler = SteadyScheduler(runtime.clock, thread_count=1)
        webhooks.prepare(scheduler)
        scheduler.start()
        running.append((webhooks, scheduler))
        return webhooks

    yield start
    for webhooks, scheduler in running:
        webhooks.stop(Deadline(TIMEOUT_SECONDS))
        scheduler.shutdown()


def cancel_one(queue: Queue) -> None:
    cancel_ingestion(queue.database, queue.submit(), clock=SystemClock())


def test_end_in_this_process_is_told_at_once(
    queue: Queue, told: Told, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next look of its own would be ten minutes away.
    monkeypatch.setattr(sender, "LOOK_SECONDS", FAR_AWAY_SECONDS)
    start()
    for _ in range(3):
        cancel_one(queue)
        told.wait()


def test_end_is_not_missed_while_its_transaction_is_open(
    queue: Queue, told: Told, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LOOK_SECONDS", FAR_AWAY_SECONDS)
    claiming = threading.Event()

    def claim_and_say(*given: Any, **more: Any) -> Any:
        claiming.set()
        return claim_delivery(*given, **more)

    start()
    ingestion_id = queue.submit()
    monkeypatch.setattr(sender, "claim_delivery", claim_and_say)
    with queue.database.as_one():
        cancel_ingestion(queue.database, ingestion_id, clock=SystemClock())
        assert claiming.wait(TIMEOUT_SECONDS)
    told.wait()


def test_end_in_another_process_is_found_by_looking(
    queue: Queue, told: Told, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(Webhooks, "_wake", lambda *_: None)
    start()
    cancel_one(queue)
    told.wait()


def test_without_the_settings_nobody_is_told_and_what_waits_is_given_up(
    queue: Queue, upstream: Upstream, rig: Rig, start: Start
) -> None:
    rig.end()
    start(webhook_url=None, webhook_secret=None)
    assert rig.state() == ("given_up", "The settings have no webhook_url any more.")
    assert queue.rows("SELECT * FROM webhook_endpoints") == []
    assert upstream.seen == []
    assert "webhooks" not in {thread.name for thread in threading.enumerate()}


def test_fault_of_the_database_only_puts_the_sender_off(
    queue: Queue, told: Told, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_FAULT_SECONDS", 0.01)
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.01)
    faults: list[Exception] = [DatabaseBusy("busy"), RuntimeError("a mistake")]

    def look_late(*given: Any, **more: Any) -> float | None:
        if faults:
            raise faults.pop()
        return seconds_until_due(*given, **more)

    monkeypatch.setattr(sender, "seconds_until_due", look_late)
    start()
    cancel_one(queue)
    told.wait()


def test_endpoint_that_cannot_be_noted_at_the_start_is_noted_later(
    queue: Queue, told: Told, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_FAULT_SECONDS", 0.01)
    faults = [DatabaseBusy("busy"), DatabaseBusy("busy")]
    noted = threading.Event()

    def keep_late(*given: Any, **more: Any) -> None:
        if faults:
            raise faults.pop()
        keep_endpoint(*given, **more)
        noted.set()

    monkeypatch.setattr(sender, "keep_endpoint", keep_late)
    start()
    assert noted.wait(TIMEOUT_SECONDS)
    cancel_one(queue)
    told.wait()


def test_removal_that_fails_keeps_nobody_from_starting(
    rig: Rig, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise DatabaseBusy("busy")

    monkeypatch.setattr(telling, "keep_endpoint", busy)
    rig.end()
    start(webhook_url=None, webhook_secret=None)
    assert rig.state() == ("waiting", None)


def test_stop_does_not_wait_for_an_endpoint_that_hangs(
    queue: Queue, upstream: Upstream, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_STOP_SECONDS", 0.01)
    hanging = threading.Event()

    def hang_and_say(exchange: Exchange) -> None:
        hanging.set()
        hang(exchange)

    upstream.answer = hang_and_say
    webhooks = start()
    cancel_one(queue)
    assert hanging.wait(TIMEOUT_SECONDS)
    deadline = Deadline(TIMEOUT_SECONDS)
    webhooks.stop(deadline)
    assert not deadline.is_over()
    assert queue.rows("SELECT claim_token IS NULL FROM webhook_deliveries") == [(0,)]


def sender_count() -> int:
    return [thread.name for thread in threading.enumerate()].count("webhooks")


def without_thread(monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, count: int) -> None:
    """So many times there is no thread left for what has this name and is a `kind`."""
    start, faults = kind.start, list(range(count))

    def start_late(self: Any) -> None:
        if faults and getattr(self, "name", name) == name:
            faults.pop()
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(kind, "start", start_late)


@pytest.fixture
def dispatcher(
    queue: Queue, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Dispatcher]:
    monkeypatch.setattr(source_loop, "make_source", lambda _settings: FakeSource())
    runtime = Runtime(settings_for(upstream), queue.database, SystemClock())
    dispatcher = Dispatcher(runtime, Webhooks(runtime, describe=describe))
    yield dispatcher
    dispatcher.stop(grace_seconds=TIMEOUT_SECONDS)


def submit_one(queue: Queue) -> None:
    source = SourceSettings()
    submit_ingestion(
        queue.database, ids=[1], priority=Priority.HIGH, source=source, clock=SystemClock()
    )


def test_start_of_the_dispatcher_that_fails_leaves_no_sender_behind(
    queue: Queue, told: Told, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_thread(monkeypatch, SteadyScheduler, "", count=3)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="new thread"):
            dispatcher.start()
    assert sender_count() == 0
    dispatcher.start()
    submit_one(queue)
    told.wait()
    assert sender_count() == 1
    dispatcher.stop(grace_seconds=TIMEOUT_SECONDS)
    assert sender_count() == 0


def test_sender_without_a_thread_keeps_nobody_from_dispatching_and_is_started_later(
    queue: Queue,
    told: Told,
    dispatcher: Dispatcher,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(telling, "LOOK_SECONDS", 0.01)
    without_thread(monkeypatch, threading.Thread, "webhooks", count=3)
    dispatcher.start()
    submit_one(queue)
    told.wait()
    postponed = [one for one in caplog.messages if one.startswith("webhooks_postponed")]
    assert postponed == ["webhooks_postponed reason=can't start new thread"] * 3


def test_sender_that_was_stopped_before_its_start_does_not_begin(rig: Rig) -> None:
    rig.sender.stop(Deadline(TIMEOUT_SECONDS))
    rig.sender.start()
    assert sender_count() == 0


def test_sender_that_was_started_twice_sends_in_one_thread(rig: Rig) -> None:
    for _ in range(2):
        rig.sender.start()
    assert sender_count() == 1
    rig.sender.stop(Deadline(TIMEOUT_SECONDS))
    assert sender_count() == 0


def test_dispatcher_starts_it_and_stops_it(
    queue: Queue,
    upstream: Upstream,
    told: Told,
    dispatcher: Dispatcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "LOOK_SECONDS", FAR_AWAY_SECONDS)
    dispatcher.start()
    submit_one(queue)
    told.wait()
    dispatcher.stop_claiming()
    dispatcher.stop(grace_seconds=TIMEOUT_SECONDS)
    cancel_one(queue)
    assert sender_count() == 0
    assert len(upstream.seen) == 1


def test_endpoint_waits_as_long_as_the_standard_advises() -> None:
    assert 15 <= endpoint.TIMEOUT_SECONDS <= 30
