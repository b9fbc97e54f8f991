"""One batch from its claim to its outcome, with the queue's verbs replaced by a recorder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from ingest_app import in_flight, outcomes
from ingest_app.clock import Moment
from ingest_app.database import Database
from ingest_app.deadline import Deadline
from ingest_app.errors import (
    DatabaseBusy,
    SlotTaken,
    StaleClaim,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
)
from ingest_app.in_flight import InFlight
from ingest_app.items import FetchedRecord, ItemId
from ingest_app.queue.claim import Claim
from ingest_app.runtime import Runtime
from ingest_app.settings import Settings, SourceSettings
from ingest_app.sources import Source
from ingest_app.states import RecordOutcome
from tests.support.clocks import FakeClock
from tests.support.fetching import (
    TIMEOUT_SECONDS,
    FakeSource,
    HangingSource,
    SourceThatDoesNotStart,
    broken,
    disordered,
    fetch_all,
    incomplete,
)

VERBS = {
    outcomes: ("complete_batch", "defer_batch", "retry_batch", "fail_batch", "write_off"),
    in_flight: ("release_batch", "renew_leases"),
}


@dataclass
class Settled:
    """One verb of the queue, as it was called; `claim` is a list of them for `renew_leases`."""

    verb: str
    claim: Any
    facts: dict[str, Any]


class NoDatabase:
    """Remembers which verbs were one transaction."""

    def __init__(self, asked: list[Settled]) -> None:
        self.together: list[list[str]] = []
        self._asked = asked

    @contextmanager
    def as_one(self) -> Iterator[None]:
        before = len(self._asked)
        yield
        self.together.append([settled.verb for settled in self._asked[before:]])


class Rig:
    """Batches in flight of one source, and what they asked the queue for."""

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self.asked: list[Settled] = []
        self.faults: list[Exception | None] = []
        self.database = NoDatabase(self.asked)
        self.ended = threading.Semaphore(0)
        self.settings = SourceSettings(max_attempts=3)
        for module, verbs in VERBS.items():
            for verb in verbs:
                monkeypatch.setattr(module, verb, self._recorder(verb))
        monkeypatch.setattr(in_flight, "hold_slot", self._hold_slot)

    def holding(self, source: Source) -> InFlight:
        database = cast(Database, self.database)
        runtime = Runtime(Settings("sqlite:///none.db"), database, self.clock)
        return InFlight(runtime, self.settings, source, on_end=self.ended.release)

    def claim(self, attempt: int = 1, ids: tuple[ItemId, ...] = (1, 2, 3)) -> Claim:
        return Claim(
            batch_id=7,
            ingestion_id="a" * 24,
            source="default",
            places=dict(enumerate(ids, start=1)),
            attempt=attempt,
            claim_token="token",
            dispatch_id=70,
            claimed=self.clock.read(),
            interval_seconds=5.0,
            margin_seconds=0.025,
        )

    def carry_out(self, source: Source, claim: Claim | None = None) -> Settled:
        """Begin the batch, settle it when its call has ended; the last that was asked."""
        held = self.holding(source)
        held.begin(claim or self.claim())
        self.wait()
        held.settle()
        return self.asked[-1]

    def wait(self) -> None:
        assert self.ended.acquire(timeout=TIMEOUT_SECONDS)

    def verbs(self) -> list[str]:
        return [settled.verb for settled in self.asked]

    def _recorder(self, verb: str) -> Callable[..., None]:
        def record(_database: Database, claim: Any, *facts: Any, **named: Any) -> None:
            self.asked.append(Settled(verb, claim, {**named, "positional": facts}))
            fault = self.faults.pop(0) if self.faults else None
            if fault:
                raise fault

        return record

    def _hold_slot(self, _database: Database, claim: Claim, *, clock: FakeClock) -> Claim:
        self.asked.append(Settled("hold_slot", claim, {}))
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            raise fault
        return replace(claim, claimed=clock.read(), margin_seconds=claim.margin_seconds * 2)


@pytest.fixture
def rig(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(clock, monkeypatch)


def test_fetched_batch_is_completed_with_its_records(rig: Rig) -> None:
    settled = rig.carry_out(FakeSource())
    assert settled.verb == "complete_batch"
    assert settled.facts["fetched"] == fetch_all((1, 2, 3))
    assert settled.facts["called"] == rig.clock.read()


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param(broken(OSError("no route")), "OSError: no route", id="the call failed"),
        pytest.param(broken(KeyError("id")), "KeyError: 'id'", id="a mistake in the source"),
        pytest.param(incomplete(), "no answer for 1 IDs", id="fewer records than IDs"),
        pytest.param(
            FakeSource(lambda _: fetch_all(["1", "2", "3"])),
            "no answer for 3 IDs",
            id="records of other IDs: 1 is not the string 1",
        ),
        pytest.param(FakeSource(lambda _: []), "no answer for 3 IDs", id="no records"),
        pytest.param(SourceThatDoesNotStart(), "did not say when", id="it may have been too early"),
    ],
)
def test_failed_attempt_is_retried(rig: Rig, source: FakeSource, error: str) -> None:
    settled = rig.carry_out(source)
    assert settled.verb == "retry_batch"
    assert error in settled.facts["error"]


def test_ids_that_cannot_be_asked_for_need_no_call(rig: Rig) -> None:
    class Picky(FakeSource):
        def fetch(self, ids: Sequence[ItemId], start: Callable[[], None]) -> Any:  # noqa: ARG002
            return [FetchedRecord(item, RecordOutcome.ERROR, error="no") for item in ids]

    settled = rig.carry_out(Picky())
    assert (settled.verb, settled.facts["called"]) == ("complete_batch", None)


def test_failed_call_is_a_warning_that_says_why(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.carry_out(broken(OSError("no route")))
    assert caplog.messages[-1].endswith("outcome=retried reason=OSError: no route")


def test_order_of_the_records_does_not_matter(rig: Rig) -> None:
    settled = rig.carry_out(disordered())
    assert settled.verb == "complete_batch"


SOME = tuple(fetch_all((1, 3)))


@pytest.mark.parametrize(
    ("error", "verb", "facts"),
    [
        pytest.param(UpstreamError("HTTP 500", fetched=SOME), "retry_batch", {}, id="an ID failed"),
        pytest.param(
            UpstreamBusy("HTTP 429", retry_after_seconds=7.5, fetched=SOME),
            "defer_batch",
            {"delay_seconds": 7.5},
            id="the upstream asks for a pause",
        ),
        pytest.param(
            UpstreamBusy("HTTP 429", fetched=SOME),
            "defer_batch",
            {"delay_seconds": None},
            id="it does not say how long",
        ),
        pytest.param(
            UpstreamRejected("HTTP 403", fetched=SOME),
            "fail_batch",
            {"is_outage": False},
            id="it says never",
        ),
    ],
)
def test_what_was_fetched_before_an_error_is_kept_with_it(
    rig: Rig, error: UpstreamError, verb: str, facts: dict[str, Any]
) -> None:
    settled = rig.carry_out(broken(error))
    assert settled.verb == verb
    assert (settled.facts["error"], settled.facts["fetched"]) == (str(error), SOME)
    assert settled.facts.items() >= facts.items()


def test_secrets_of_a_source_are_in_no_error(rig: Rig) -> None:
    rig.settings = replace(rig.settings, secrets=("t0ps3cret",))
    settled = rig.carry_out(broken(KeyError("401 for t0ps3cret")))
    assert settled.facts["error"] == "KeyError: '401 for ***'"


def test_what_a_source_returned_is_kept_when_something_is_missing(rig: Rig) -> None:
    settled = rig.carry_out(incomplete())
    assert settled.facts["fetched"] == tuple(fetch_all((1, 2)))


def test_batch_whose_ids_all_have_a_record_is_completed_without_a_call(rig: Rig) -> None:
    source = FakeSource()
    settled = rig.carry_out(source, rig.claim(ids=()))
    assert (settled.verb, settled.facts["called"], source.calls) == ("complete_batch", None, [])


@pytest.mark.parametrize(("attempt", "longest_seconds"), [(1, 1.0), (2, 2.0)])
def test_retry_backs_off_with_the_attempts(rig: Rig, attempt: int, longest_seconds: float) -> None:
    settled = rig.carry_out(broken(OSError("no route")), rig.claim(attempt))
    assert longest_seconds / 2 <= settled.facts["delay_seconds"] <= longest_seconds


def test_last_attempt_that_fails_fails_the_batch(rig: Rig) -> None:
    settled = rig.carry_out(broken(OSError("no route")), rig.claim(attempt=3))
    assert settled.verb == "fail_batch"
    assert settled.facts["error"] == "OSError: no route"
    assert settled.facts["is_outage"] is True


def test_outcome_is_kept_until_the_database_can_record_it(rig: Rig) -> None:
    rig.faults = [DatabaseBusy("busy"), DatabaseBusy("busy")]
    source = FakeSource()
    held = rig.holding(source)
    held.begin(rig.claim())
    rig.wait()
    for _ in range(2):
        with pytest.raises(DatabaseBusy):
            held.settle()
    held.settle()
    assert rig.verbs() == ["complete_batch"] * 3
    assert len(source.calls) == 1  # to fetch again would cost another slot


def two_ended(rig: Rig) -> InFlight:
    """Two batches whose calls have ended."""
    held = rig.holding(FakeSource())
    for number in (1, 2):
        held.begin(replace(rig.claim(), batch_id=number, dispatch_id=number))
        rig.wait()
    return held


def test_calls_that_have_ended_are_settled_in_one_transaction(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    two_ended(rig).settle()
    assert rig.database.together == [["complete_batch"] * 2]
    assert sum("batch_settled" in message for message in caplog.messages) == 2


def test_claim_for_the_free_places_is_made_in_the_same_transaction(rig: Rig) -> None:
    held = two_ended(rig)
    seen = held.settle_and(lambda: (rig.verbs(), list(rig.database.together)))
    assert seen == (["complete_batch"] * 2, [])
    assert rig.database.together == [["complete_batch"] * 2]


def test_one_that_was_lost_does_not_keep_the_others_from_being_settled(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    held = two_ended(rig)
    rig.faults = [None, StaleClaim(2), None, StaleClaim(2)]
    held.settle()
    # Nothing of the transaction they shared is kept, so each is settled again, alone.
    assert rig.database.together == []
    assert rig.verbs() == [*["complete_batch"] * 4, "write_off"]
    events = [message.split()[0] for message in caplog.messages]
    assert events[2:] == ["batch_settled", "claim_lost"]


def test_fault_of_the_database_keeps_all_that_ended_together(rig: Rig) -> None:
    held = two_ended(rig)
    rig.faults = [None, DatabaseBusy("busy")]
    with pytest.raises(DatabaseBusy):
        held.settle()
    held.settle()
    assert rig.database.together == [["complete_batch"] * 2]


def test_outcome_of_a_claim_that_was_lost_is_dropped(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.faults = [StaleClaim(7)]
    rig.carry_out(FakeSource())
    assert rig.verbs() == ["complete_batch", "write_off"]
    assert [message.split()[0] for message in caplog.messages] == ["claim_lost"]


def test_what_cannot_be_stored_is_a_failed_attempt(rig: Rig) -> None:
    rig.faults = [TypeError("Object of type object is not JSON serializable")]
    settled = rig.carry_out(FakeSource())
    assert rig.verbs() == ["complete_batch", "retry_batch"]
    assert settled.facts["error"].startswith("TypeError: Object")


def test_crash_while_settling_is_logged_and_leaves_the_batch_to_its_lease(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.faults = [RuntimeError("a mistake of ours"), RuntimeError("and another")]
    rig.carry_out(FakeSource())
    assert "batch_crashed" in [message.split()[0] for message in caplog.messages]
    assert rig.verbs() == ["complete_batch", "retry_batch"]


def test_claimed_batch_is_an_event_with_its_facts(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        rig.carry_out(FakeSource())
    assert caplog.messages[0] == (
        "batch_claimed batch_id=7 source=default attempt=1 dispatch_id=70"
    )


def test_settled_batch_is_an_event_with_its_facts(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        rig.carry_out(FakeSource())
    assert caplog.messages[-1] == (
        "batch_settled batch_id=7 source=default attempt=1 dispatch_id=70 outcome=completed"
    )


@pytest.mark.parametrize(
    ("late_seconds", "verbs"),
    [
        pytest.param(0.0, ["complete_batch"], id="at once"),
        pytest.param(0.02, ["complete_batch"], id="within the margin"),
        pytest.param(0.03, ["hold_slot", "complete_batch"], id="late"),
        pytest.param(60.0, ["hold_slot", "complete_batch"], id="very late"),
    ],
)
def test_call_that_starts_late_moves_its_slot_first(
    rig: Rig, late_seconds: float, verbs: list[str]
) -> None:
    claim = rig.claim()
    rig.clock.move(late_seconds)
    rig.carry_out(FakeSource(), claim)
    assert rig.verbs() == verbs


def seconds_after_claim(settled: Settled) -> float:
    """How long after the claim that the slot is counted from the call started."""
    called: Moment = settled.facts["called"]
    return called.seconds_since(settled.claim.claimed)


def test_late_call_is_in_time_for_its_moved_slot(rig: Rig) -> None:
    claim = rig.claim()
    rig.clock.move(1.0)
    settled = rig.carry_out(FakeSource(), claim)
    assert seconds_after_claim(settled) <= settled.claim.margin_seconds


def test_without_the_check_a_late_call_is_seen_to_miss_its_slot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(Claim, "is_late", lambda _claim, _now: False)
    claim = rig.claim()
    rig.clock.move(1.0)
    settled = rig.carry_out(FakeSource(), claim)
    assert seconds_after_claim(settled) > settled.claim.margin_seconds


def test_late_call_without_a_pace_needs_no_slot(rig: Rig) -> None:
    claim = replace(rig.claim(), interval_seconds=0.0, margin_seconds=0.0)
    rig.clock.move(60)
    rig.carry_out(FakeSource(), claim)
    assert rig.verbs() == ["complete_batch"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(SlotTaken(7), id="another claim has had the slot"),
        pytest.param(DatabaseBusy("busy"), id="the slot cannot be recorded"),
    ],
)
def test_call_whose_slot_cannot_be_moved_is_not_made(rig: Rig, fault: Exception) -> None:
    source = FakeSource()
    claim = rig.claim()
    rig.clock.move(1.0)
    rig.faults = [fault]
    settled = rig.carry_out(source, claim)
    assert source.calls == []
    assert (settled.verb, settled.facts["called"]) == ("release_batch", None)


def test_call_that_is_always_late_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Claim, "is_late", lambda _claim, _now: True)
    source = FakeSource()
    settled = rig.carry_out(source)
    assert source.calls == []
    assert (settled.verb, settled.facts["called"]) == ("release_batch", None)


def test_heartbeat_renews_all_batches_in_flight(rig: Rig) -> None:
    source = HangingSource()
    held = rig.holding(source)
    claims = [rig.claim(), replace(rig.claim(), batch_id=8, dispatch_id=80)]
    for claim in claims:
        held.begin(claim)
    held.renew()
    assert rig.verbs() == ["renew_leases"]
    assert rig.asked[0].claim == claims
    source.may_answer.set()
    rig.wait()
    rig.wait()


def test_heartbeat_with_nothing_in_flight_asks_nothing(rig: Rig) -> None:
    held = rig.holding(FakeSource())
    held.begin(rig.claim())
    rig.wait()
    held.settle()
    held.renew()
    assert rig.verbs() == ["complete_batch"]


def test_stop_waits_for_a_call_that_ends_in_time(rig: Rig) -> None:
    source = HangingSource()
    held = rig.holding(source)
    held.begin(rig.claim())
    assert source.called.wait(TIMEOUT_SECONDS)
    source.may_answer.set()
    held.finish(Deadline(TIMEOUT_SECONDS))
    assert rig.verbs() == ["complete_batch"]
    rig.wait()


def test_stop_hands_back_what_does_not_end_in_time(rig: Rig) -> None:
    source = HangingSource()
    held = rig.holding(source)
    held.begin(rig.claim())
    assert source.called.wait(TIMEOUT_SECONDS)
    held.finish(Deadline(0))
    assert rig.verbs() == ["release_batch"]
    assert rig.asked[0].facts["called"] == rig.clock.read()  # the call was made
    source.may_answer.set()
    rig.wait()


def test_call_that_ends_after_the_stop_settles_nothing(rig: Rig) -> None:
    source = HangingSource()
    held = rig.holding(source)
    held.begin(rig.claim())
    assert source.called.wait(TIMEOUT_SECONDS)
    held.finish(Deadline(0))
    source.may_answer.set()
    rig.wait()
    assert rig.verbs() == ["release_batch"]


def test_stop_survives_a_database_that_cannot_take_the_batch_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    source = HangingSource()
    held = rig.holding(source)
    held.begin(rig.claim())
    assert source.called.wait(TIMEOUT_SECONDS)
    rig.faults = [DatabaseBusy("busy")]
    held.finish(Deadline(0))
    assert [message.split()[0] for message in caplog.messages] == ["release_failed"]
    source.may_answer.set()
    rig.wait()


def test_batch_for_which_there_is_no_thread_is_handed_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    held = rig.holding(FakeSource())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    held.begin(rig.claim())
    assert rig.verbs() == ["release_batch"]
    held.renew()
    assert rig.verbs() == ["release_batch"]  # nothing is in flight any more


def test_error_that_cannot_even_be_shown_is_a_failed_attempt_too(rig: Rig) -> None:
    # Handed back, which costs no attempt, such a batch would go again for ever.
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError("this error cannot even be shown")

    def answer(_ids: Sequence[ItemId]) -> Sequence[FetchedRecord]:
        raise Unprintable

    settled = rig.carry_out(FakeSource(answer))
    assert settled.verb == "retry_batch"
    assert "Unprintable" in settled.facts["error"]


def test_batch_whose_release_fails_is_not_kept_alive(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its lease has to bring it back, so it must not be renewed.
    def fail(*_: object, **__: object) -> None:
        raise StaleClaim(7)

    monkeypatch.setattr(in_flight, "release_batch", fail)
    monkeypatch.setattr(in_flight, "hold_slot", Mock(side_effect=SlotTaken(7)))
    held = rig.holding(FakeSource())
    late = replace(rig.claim(), claimed=rig.clock.read().later(-1.0))
    held.begin(late)
    rig.wait()
    held.renew()
    assert "renew_leases" not in rig.verbs()


def test_mistake_in_settling_one_batch_leaves_the_others_to_be_settled(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = rig.holding(FakeSource())
    first, second = (replace(rig.claim(), dispatch_id=number) for number in (71, 72))
    for claim in (first, second):
        held.begin(claim)
        rig.wait()
    settle = held._settler.settle

    def settle_all_but_the_first(ended: Any) -> None:
        if ended.claim.dispatch_id == 71:
            raise RuntimeError("a mistake")
        settle(ended)

    monkeypatch.setattr(held._settler, "settle", settle_all_but_the_first)
    monkeypatch.setattr(held._settler, "settle_together", Mock(side_effect=RuntimeError))
    held.settle()
    held.renew()
    assert rig.verbs() == ["complete_batch"]
    assert rig.asked[0].claim.dispatch_id == 72
