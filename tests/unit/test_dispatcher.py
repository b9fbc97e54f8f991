"""The dispatcher's loop: when it looks, when it rests, and that it never stops looking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from ingest_app import source_loop
from ingest_app.clock import Moment
from ingest_app.database import Database
from ingest_app.dispatcher import Dispatcher
from ingest_app.errors import DatabaseBusy
from ingest_app.queue.claim import Claim
from ingest_app.queue.recover import Recovered
from ingest_app.queue.refusing import Refusal, Wait
from ingest_app.queue.submit import work_arrived
from ingest_app.queue.watching import LOOKS_A_LEASE
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.settings import Settings, SourceSettings
from ingest_app.source_loop import LOOK_SECONDS
from tests.support.clocks import FakeClock
from tests.support.fetching import FakeSource

EMPTY = Refusal(Wait.EMPTY)
LOST = Recovered(7, source="default", worker="host:1", reason="The worker died.")
Answer = Refusal | Claim | Sequence[Claim] | Exception


class FakeScheduler:
    """Remembers its jobs, and for when the one that dispatches was armed."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[Callable[[], None], float]] = {}
        self.at_once: set[str] = set()
        self.armed: list[float] = []

    def add_job(self, job: Callable[[], None], *, id: str, seconds: float, **_: Any) -> None:
        self.jobs[id] = (job, seconds)

    def run_at(self, job_id: str, delay_seconds: float) -> None:
        if delay_seconds == 0:
            self.at_once.add(job_id)
        if job_id == "dispatch-default":
            self.armed.append(delay_seconds)

    def run(self, job_id: str) -> None:
        job, _ = self.jobs[job_id]
        job()


class Rig:
    """One source's loop before a queue that answers what the test has laid out."""

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Answer] = []
        self.begun: list[Claim] = []
        self.looks = 0
        self.waited: list[float] = []
        self.on_look: Callable[[], None] = lambda: None
        self.scheduler = FakeScheduler()
        monkeypatch.setattr(source_loop, "make_source", lambda _settings: FakeSource())
        monkeypatch.setattr(source_loop, "find_refusal", lambda *_, **__: None)
        monkeypatch.setattr(source_loop, "claim_next_batch", self._answer)
        monkeypatch.setattr(source_loop, "claim_all_that_may_go", self._answer)
        runtime = Runtime(Settings("sqlite:///none.db"), cast(Database, object()), clock)
        steady = cast(SteadyScheduler, self.scheduler)
        self.loop = source_loop.SourceLoop(runtime, SourceSettings(), steady)
        monkeypatch.setattr(self.loop._in_flight, "begin", self.begun.append)
        monkeypatch.setattr(self.loop._changed, "wait_for", self._wait)
        self.scheduler.armed.clear()

    def tick(self, *answers: Answer) -> Sequence[float]:
        """One run of the job before these answers; what it armed."""
        self.answers = list(answers)
        self.loop.tick()
        return self.scheduler.armed

    def _wait(self, is_met: Callable[[], bool], seconds: float) -> bool:
        if seconds:
            self.waited.append(seconds)
        return is_met()

    def _answer(self, *_: object, **__: object) -> Claim | Sequence[Claim] | Refusal:
        self.looks += 1
        answer = self.answers.pop(0)
        self.on_look()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def rig(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(clock, monkeypatch)


@pytest.fixture
def claim(clock: FakeClock) -> Claim:
    return Claim(
        batch_id=7,
        ingestion_id="a" * 24,
        source="default",
        places={1: 1},
        attempt=1,
        claim_token="token",
        dispatch_id=70,
        claimed=clock.read(),
        interval_seconds=5.0,
        margin_seconds=0.025,
    )


@pytest.mark.parametrize(
    ("refusal", "armed_seconds"),
    [
        pytest.param(Refusal(Wait.SLOT, 0.7), 0.65, id="just before the slot opens"),
        pytest.param(Refusal(Wait.RETRY, 0.3), 0.25, id="just before a retry is due"),
        pytest.param(Refusal(Wait.SLOT, 60.0), 0.75, id="others may change it before"),
        pytest.param(Refusal(Wait.DEFERRED, 900.0), LOOK_SECONDS, id="a long deferral"),
        pytest.param(EMPTY, LOOK_SECONDS, id="another process may submit"),
        pytest.param(Refusal(Wait.PAUSED), LOOK_SECONDS, id="another process may resume"),
        pytest.param(Refusal(Wait.IN_FLIGHT), LOOK_SECONDS, id="another process may settle"),
    ],
)
def test_refused_tick_is_armed_for_the_instant_more_may_go(
    rig: Rig, refusal: Refusal, armed_seconds: float
) -> None:
    (armed,) = rig.tick(refusal)
    assert armed == pytest.approx(armed_seconds)


@pytest.mark.parametrize("reason", [Wait.SLOT, Wait.RETRY])
def test_short_wait_is_waited_out_in_the_tick(rig: Rig, reason: Wait) -> None:
    assert rig.tick(Refusal(reason, 0.01), EMPTY) == [LOOK_SECONDS]
    assert rig.waited == [0.01]


def test_tick_that_lasts_long_goes_on_in_another(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python waits at its end for a tick, and does not begin another.
    monkeypatch.setattr(source_loop, "_TICK_SECONDS", 0.0)
    rig.answers = [Refusal(Wait.SLOT, 0.01)]
    rig.loop.tick()
    rig.loop.tick()
    assert (rig.waited, rig.scheduler.armed) == ([], [0.0, 0.0])


def test_after_a_claim_the_next_look_is_when_its_slot_is_over(rig: Rig, claim: Claim) -> None:
    claim = replace(claim, interval_seconds=0.1, margin_seconds=0.001)
    rig.tick(claim, claim, EMPTY)
    assert rig.begun == [claim, claim]
    assert [round(seconds, 6) for seconds in rig.waited] == [0.101] * 2


def test_without_a_pace_all_that_were_claimed_begin(
    rig: Rig, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.loop, "_source", SourceSettings(interval_seconds=0))
    claims = [replace(claim, interval_seconds=0, margin_seconds=0, batch_id=id) for id in (1, 2)]
    rig.tick(claims, EMPTY)
    assert rig.begun == claims


def test_write_lock_is_not_asked_for_when_a_look_shows_nothing_to_do(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_loop, "find_refusal", lambda *_, **__: EMPTY)
    assert (rig.tick(), rig.looks) == ([LOOK_SECONDS], 0)


def test_wake_while_resting_runs_the_job_at_once(rig: Rig) -> None:
    rig.loop.wake()
    assert rig.scheduler.armed == [0]


def test_wake_while_the_next_slot_is_waited_for_costs_nothing(rig: Rig, claim: Claim) -> None:
    rig.tick(Refusal(Wait.SLOT, 0.7))
    rig.tick(claim)
    rig.scheduler.armed.clear()
    rig.loop.wake()
    assert rig.scheduler.armed == []


@pytest.mark.parametrize("reason", [reason for reason in Wait if reason is not Wait.SLOT])
def test_wake_while_anything_else_is_waited_for_is_heard(rig: Rig, reason: Wait) -> None:
    rig.tick(Refusal(Wait.SLOT, 0.7))
    rig.tick(Refusal(reason, 0.7))
    rig.scheduler.armed.clear()
    rig.loop.wake()
    assert rig.scheduler.armed == [0]


def wake_in_the_first_look(rig: Rig) -> None:
    """Work arrives just after the look that found nothing."""
    rig.on_look = lambda: rig.loop.wake() if rig.looks == 1 else None


def test_wake_between_the_last_look_and_the_arming_is_not_lost(rig: Rig) -> None:
    wake_in_the_first_look(rig)
    rig.tick(EMPTY, EMPTY)
    assert (rig.looks, rig.scheduler.armed) == (2, [LOOK_SECONDS])


def test_without_the_second_look_the_wake_is_seen_to_be_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above: rest without asking whether something woke it.
    def rest(loop: source_loop.SourceLoop, delay_seconds: float, **_: bool) -> bool:
        if delay_seconds == 0:
            return False
        loop._ticking = False
        loop._arm(delay_seconds)
        return True

    monkeypatch.setattr(source_loop.SourceLoop, "_rest", rest)
    wake_in_the_first_look(rig)
    rig.tick(EMPTY, EMPTY)
    assert rig.looks == 1


def test_second_tick_leaves_the_work_to_the_first_which_looks_again(rig: Rig) -> None:
    rig.on_look = lambda: rig.loop.tick() if rig.looks == 1 else None
    rig.tick(EMPTY, EMPTY)
    assert (rig.looks, rig.scheduler.armed) == (2, [LOOK_SECONDS])


@pytest.mark.parametrize(
    ("error", "event"),
    [
        pytest.param(DatabaseBusy("busy"), "dispatch_postponed", id="a fault of the database"),
        pytest.param(RuntimeError("a mistake"), "dispatch_crashed", id="a mistake of ours"),
    ],
)
def test_error_in_a_tick_is_logged_and_the_next_one_armed(
    rig: Rig, caplog: pytest.LogCaptureFixture, error: Exception, event: str
) -> None:
    assert rig.tick(error) == [source_loop._FAULT_SECONDS]
    assert [message.split()[0] for message in caplog.messages] == [event]
    assert rig.tick(EMPTY) == [source_loop._FAULT_SECONDS, LOOK_SECONDS]


def test_stopping_loop_claims_nothing_and_arms_nothing(rig: Rig) -> None:
    rig.loop.stopping = True
    assert (rig.tick(EMPTY), rig.looks) == ([], 0)
    rig.loop.wake()
    assert rig.scheduler.armed == []


def test_loop_told_to_stop_during_a_tick_claims_no_more(rig: Rig, claim: Claim) -> None:
    def stop() -> None:
        rig.loop.stopping = True

    rig.on_look = stop
    rig.tick(claim, claim)
    assert rig.begun == [claim]


def test_end_of_a_batch_wakes_the_loop(rig: Rig) -> None:
    rig.loop._in_flight._on_end()
    assert rig.scheduler.armed == [0]


def test_recovered_batch_wakes_the_loop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(source_loop, "recover_expired_leases", lambda *_, **__: [LOST])
    rig.scheduler.run("leases-default")
    assert rig.scheduler.armed == [0]
    assert caplog.messages == [
        "batch_recovered batch_id=7 source=default worker=host:1 reason=The worker died."
    ]


def test_recovery_postponed_by_the_database_waits_for_its_next_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(*_: object, **__: object) -> Sequence[int]:
        raise DatabaseBusy("busy")

    monkeypatch.setattr(source_loop, "recover_expired_leases", busy)
    rig.scheduler.run("leases-default")
    assert [message.split()[0] for message in caplog.messages] == ["leases_postponed"]


def test_lease_outlives_missed_heartbeats_and_is_looked_at_often(rig: Rig) -> None:
    seconds = {job_id: seconds for job_id, (_, seconds) in rig.scheduler.jobs.items()}
    lease_seconds = SourceSettings().lease_seconds
    assert seconds["leases-default"] <= lease_seconds / 5


def test_loop_judges_leases_only_after_steady_looks(
    rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[bool] = []

    def recover(*_: object, may_judge: Callable[[Moment], bool], **__: object) -> Sequence[object]:
        judged.append(may_judge(clock.read()))
        return []

    monkeypatch.setattr(source_loop, "recover_expired_leases", recover)
    lease_seconds = SourceSettings().lease_seconds
    for _ in range(4):
        rig.scheduler.run("leases-default")
        clock.move(lease_seconds / LOOKS_A_LEASE)
    clock.move(lease_seconds)  # the machine was suspended
    rig.scheduler.run("leases-default")
    assert judged == [False, False, False, True, False]


def test_loop_looks_for_work_and_for_lost_batches_as_soon_as_it_starts(rig: Rig) -> None:
    assert rig.scheduler.at_once == {"dispatch-default", "leases-default"}


class Loops:
    """A dispatcher whose loops are not started but counted."""

    def __init__(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.woken: list[str] = []
        self.started = 0
        self.dispatcher = Dispatcher(runtime)
        monkeypatch.setattr(Dispatcher, "_start", self._start)

    def _start(self, *_: object) -> None:
        self.started += 1


def test_dispatcher_starts_once_in_a_process_and_again_after_a_fork(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(Settings("sqlite:///none.db"), cast(Database, object()), clock)
    loops = Loops(runtime, monkeypatch)
    loops.dispatcher.start()
    loops.dispatcher.start()
    assert loops.started == 1
    monkeypatch.setattr("os.getpid", lambda: -1)
    loops.dispatcher.start()
    assert loops.started == 2


def test_dispatcher_that_never_started_has_nothing_to_stop(clock: FakeClock) -> None:
    runtime = Runtime(Settings("sqlite:///none.db"), cast(Database, object()), clock)
    stopped = Dispatcher(runtime)
    stopped.stop(grace_seconds=0)
    stopped.stop_claiming()


def test_submission_wakes_the_loop_of_its_source_and_its_database_only(
    rig: Rig, clock: FakeClock
) -> None:
    database, another = cast(Database, object()), cast(Database, object())
    waking = Dispatcher(Runtime(Settings("sqlite:///none.db"), database, clock))
    waking._loops = {"default": rig.loop}
    work_arrived.connect(waking._wake, sender=database)
    work_arrived.send(another, source="default")
    work_arrived.send(database, source="of another process")
    assert rig.scheduler.armed == []
    work_arrived.send(database, source="default")
    assert rig.scheduler.armed == [0]
