"""What is sent, judged by the official library, and what follows from the answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from ingest_app.queue.deliveries import LONGEST_DELAY_SECONDS
from ingest_app.states import BatchStatus
from ingest_app.webhook_settings import new_secret, signing_keys
from ingest_app.webhooks.message import Message, message_of
from ingest_app.webhooks.policy import MAX_ATTEMPTS, Answer, GiveUp, PutOff, decide

ENDED_AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
DAY = 86_400
INGESTION_ID = "a" * 24


def message(status: BatchStatus = BatchStatus.COMPLETED, ended_at: datetime = ENDED_AT) -> Message:
    return message_of(INGESTION_ID, status, ended_at, {"source": "Größe"})


def test_signature_is_that_of_the_published_example() -> None:
    # libraries/python/tests/test_webhooks.py of standard-webhooks.
    sent = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    keys = signing_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert sent.headers(keys, datetime.fromtimestamp(1614265330.9, UTC)) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_official_library_accepts_it_with_each_of_the_secrets_and_no_other() -> None:
    new, old, foreign = new_secret(), new_secret(), new_secret()
    sent = message()
    headers = sent.headers(signing_keys(f"{new} {old}"), datetime.now(UTC))
    for secret in (new, old):
        assert Webhook(secret).verify(sent.body, headers) == json.loads(sent.body)
    with pytest.raises(WebhookVerificationError):
        Webhook(foreign).verify(sent.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(sent.body.replace(b"completed", b"cancelled"), headers)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_body_says_how_and_when_it_ended(status: str) -> None:
    assert json.loads(message(BatchStatus(status)).body) == {
        "type": f"ingestion.{status}",
        "timestamp": "2026-03-01T12:00:00.000005Z",
        "data": {"source": "Größe"},
    }


def test_each_end_has_an_id_of_its_own_without_a_full_stop() -> None:
    first, second = message(), message(ended_at=ENDED_AT + timedelta(microseconds=1))
    assert first.webhook_id == message().webhook_id != second.webhook_id
    assert first.webhook_id.startswith(INGESTION_ID)
    assert "." not in first.webhook_id


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_success_is_any_2xx(status: int) -> None:
    assert decide(Answer(status, "well"), 1, jitter=0) is None


@pytest.mark.parametrize(
    "status", [None, 199, 300, 301, 302, 307, 400, 401, 404, 408, 429, 500, 502, 503, 504]
)
def test_all_else_is_tried_again(status: int | None) -> None:
    assert decide(Answer(status, "ill"), 1, jitter=0) == PutOff(5, 0)


def test_gone_is_given_up_at_once() -> None:
    assert decide(Answer(410, "ill"), 1, jitter=0) == GiveUp()


@pytest.mark.parametrize(
    ("attempt", "jitter", "delay_seconds"),
    [
        pytest.param(1, 0.0, 5.0, id="the first"),
        pytest.param(2, 0.0, 10.0, id="doubled"),
        pytest.param(2, 1.0, 5.0, id="half of it by the jitter"),
        pytest.param(13, 0.0, 20_480.0, id="the last below the cap"),
        pytest.param(14, 0.0, 21_600.0, id="capped"),
        pytest.param(MAX_ATTEMPTS - 1, 1.0, 10_800.0, id="half of the cap"),
    ],
)
def test_delay_doubles_up_to_a_cap(attempt: int, jitter: float, delay_seconds: float) -> None:
    assert decide(Answer(500, "ill"), attempt, jitter=jitter) == PutOff(delay_seconds, 0)


@pytest.mark.parametrize(
    ("jitter", "day_count"),
    [pytest.param(0.0, 4.3, id="all of it"), pytest.param(0.5, 3.2, id="on the average")],
)
def test_it_is_given_up_after_about_three_days(jitter: float, day_count: float) -> None:
    decisions = [
        decide(Answer(500, "ill"), attempt, jitter=jitter) for attempt in range(1, MAX_ATTEMPTS + 1)
    ]
    assert decisions[-1] == GiveUp()
    delays = [one.delay_seconds for one in decisions if isinstance(one, PutOff)]
    assert sum(delays) / DAY == pytest.approx(day_count, abs=0.1)


@pytest.mark.parametrize(
    ("asked_seconds", "expected"),
    [
        pytest.param(60, PutOff(60, 60), id="longer than the back-off"),
        pytest.param(1, PutOff(5, 1), id="shorter: or the attempts would be used up at once"),
        pytest.param(30 * DAY, PutOff(*[LONGEST_DELAY_SECONDS] * 2), id="longer than the cap"),
    ],
)
def test_what_the_endpoint_asks_for_is_honoured_within_bounds(
    asked_seconds: float, expected: PutOff
) -> None:
    assert decide(Answer(503, "ill", asked_seconds), 1, jitter=0) == expected
