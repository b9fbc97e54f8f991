"""Jobs keep their distance when the wall clock is set; nothing here waits for real seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any

import pytest
from apscheduler.executors import base as executors
from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers import base as schedulers
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers import interval as triggers

from ingest_app import scheduling
from ingest_app.scheduling import SteadyScheduler, _Threads
from tests.support.clocks import DAY, HOUR, FakeClock

STEPS = [HOUR, -HOUR, DAY, -DAY]
USERS_OF_THE_WALL_CLOCK: tuple[ModuleType, ...] = (scheduling, schedulers, triggers, executors)


class Rig:
    """A scheduler whose main loop is turned by hand, on a clock moved by hand."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.runs: list[float] = []
        self.scheduler: Any = SteadyScheduler(clock, thread_count=1)
        self.scheduler._event = threading.Event()
        # Started as BackgroundScheduler does, but without its thread.
        schedulers.BaseScheduler.start(self.scheduler)
        self.scheduler.remove_executor("default")
        self.scheduler.add_executor(DebugExecutor(), "default")

    def add_job(self, seconds: float) -> None:
        self.scheduler.add_job(self._run, trigger="interval", seconds=seconds, id="job")

    def turn(self) -> float:
        """One turn of the main loop; how long it would sleep then."""
        return float(self.scheduler._process_jobs())

    def pass_time(self, seconds: float, turn: Callable[[], float] | None = None) -> None:
        """Let time pass as the main loop would live it."""
        turn = turn or self.turn
        end = self.clock.passed_seconds + seconds
        while (left := end - self.clock.passed_seconds) > 1e-6:
            self.clock.move(min(left, turn()))
        turn()

    def _run(self) -> None:
        self.runs.append(round(self.clock.passed_seconds, 3))


@pytest.fixture
def rig(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Rig:
    class Datetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.read().at.astimezone(tz)

    for module in USERS_OF_THE_WALL_CLOCK:
        if hasattr(module, "datetime"):
            monkeypatch.setattr(module, "datetime", Datetime)
    return Rig(clock)


def test_jobs_run_at_their_interval(rig: Rig) -> None:
    rig.add_job(5)
    rig.pass_time(16)
    assert rig.runs == [5, 10, 15]


@pytest.mark.parametrize("step_seconds", STEPS)
def test_jobs_keep_their_distance_when_the_wall_clock_is_set(rig: Rig, step_seconds: float) -> None:
    rig.add_job(5)
    rig.pass_time(7)
    rig.clock.set_wall(step_seconds)
    rig.pass_time(9)
    assert rig.runs == [5, 10, 15]


@pytest.mark.parametrize("step_seconds", [-HOUR, -DAY])
def test_plain_scheduler_is_seen_to_stall(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step_seconds: float
) -> None:
    # The negative control: APScheduler's own turn of the loop.
    monkeypatch.setattr(SteadyScheduler, "_process_jobs", BackgroundScheduler._process_jobs)
    rig.add_job(5)
    rig.pass_time(7)
    rig.clock.set_wall(step_seconds)
    rig.pass_time(9)
    assert rig.runs == [5]


def test_plain_scheduler_is_seen_to_run_early_when_the_clock_is_set_forward(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SteadyScheduler, "_process_jobs", BackgroundScheduler._process_jobs)
    rig.add_job(5)
    rig.pass_time(7)
    rig.clock.set_wall(HOUR)
    rig.pass_time(1)
    assert rig.runs == [5, 7]


@pytest.mark.parametrize("seconds", [0.5, 5.0, HOUR])
def test_loop_looks_at_the_clocks_at_least_once_a_second(rig: Rig, seconds: float) -> None:
    rig.add_job(seconds)
    assert rig.turn() == min(seconds, 1.0)


def test_loop_without_jobs_looks_too(rig: Rig) -> None:
    assert rig.turn() == 1.0


def test_run_at_lets_the_job_run_then_and_at_its_interval_from_there(rig: Rig) -> None:
    rig.add_job(5)
    rig.scheduler.run_at("job", 2)
    rig.pass_time(13)
    assert rig.runs == [2, 7, 12]


def test_run_at_counts_from_now_and_not_from_the_last_look_at_the_clock(rig: Rig) -> None:
    rig.add_job(5)
    rig.turn()
    rig.clock.move(0.5)
    rig.scheduler.run_at("job", 2)
    rig.pass_time(8)
    assert rig.runs == [2.5, 7.5]


def test_run_at_without_delay_runs_in_the_next_turn(rig: Rig) -> None:
    rig.add_job(5)
    rig.scheduler.run_at("job", 0)
    rig.turn()
    assert rig.runs == [0]


@pytest.mark.parametrize("step_seconds", STEPS)
def test_run_at_counts_from_now_though_the_step_was_not_yet_noticed(
    rig: Rig, step_seconds: float
) -> None:
    # A submission wakes the dispatcher in the second between a step and the next look at the clock.
    rig.add_job(5)
    rig.turn()
    rig.clock.move(0.5)
    rig.clock.set_wall(step_seconds)
    rig.scheduler.run_at("job", 2)
    rig.pass_time(8)
    assert rig.runs == [2.5, 7.5]


def test_small_steps_of_a_clock_that_is_being_adjusted_are_left_alone(rig: Rig) -> None:
    rig.add_job(5)
    rig.pass_time(1)
    before = rig.scheduler.get_job("job").next_run_time
    rig.clock.set_wall(0.01)
    rig.turn()
    assert rig.scheduler.get_job("job").next_run_time == before


def test_paused_job_stays_paused_when_the_clock_is_set(rig: Rig) -> None:
    rig.add_job(5)
    rig.scheduler.pause_job("job")
    rig.clock.set_wall(HOUR)
    rig.turn()
    assert rig.scheduler.get_job("job").next_run_time is None


def test_clock_may_be_set_between_the_first_jobs_and_the_start(clock: FakeClock) -> None:
    # A process that is kept waiting between its looks at the two clocks sees the same.
    scheduler = SteadyScheduler(clock, thread_count=1)
    for name in ("early", "late"):
        scheduler.add_job(print, trigger="interval", seconds=10, id=name)
    scheduler.run_at("early", 5)
    clock.set_wall(HOUR)
    scheduler.run_at("late", 5)
    early, late = (scheduler.get_job(name).next_run_time for name in ("early", "late"))
    assert early == late == clock.read().at + timedelta(seconds=5)


def test_missed_runs_are_made_up_for_once(rig: Rig) -> None:
    rig.add_job(5)
    rig.clock.move(60)  # the machine was suspended
    rig.turn()
    assert rig.runs == [60]


class _NoThread:
    """A pool on a machine that has no thread left."""

    def submit(self, *_: object) -> None:
        raise RuntimeError("can't start new thread")


def _submit_to(rig: Rig, pool: Any) -> None:
    rig.add_job(5)
    threads = _Threads(1)
    threads._pool.shutdown()
    threads._pool = pool
    threads.start(rig.scheduler, "default")
    (job,) = rig.scheduler.get_jobs()
    threads.submit_job(job, [job.next_run_time])


def test_job_that_falls_due_while_the_interpreter_ends_is_dropped(rig: Rig) -> None:
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    _submit_to(rig, closed)
    assert rig.runs == []


def test_job_for_which_there_is_no_thread_is_not_dropped_in_silence(rig: Rig) -> None:
    with pytest.raises(RuntimeError, match="new thread"):
        _submit_to(rig, _NoThread())
