"""Threads that are kept for the next job."""

from __future__ import annotations

import threading

import pytest

from ingest_app.thread_pool import ThreadPool
from tests.support.fetching import TIMEOUT_SECONDS


class Job:
    """Says when it runs, and in which thread, and ends when the test lets it."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self._began = threading.Event()
        self._may_end = threading.Event()

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self._began.set()
        assert self._may_end.wait(TIMEOUT_SECONDS)

    def wait_until_it_runs(self) -> None:
        assert self._began.wait(TIMEOUT_SECONDS)

    def let_end(self) -> None:
        self._may_end.set()


def ended(pool: ThreadPool, job: Job) -> Job:
    """The same job, when its thread has nothing to do any more."""
    job.let_end()
    assert pool._idle.acquire(timeout=TIMEOUT_SECONDS)
    pool._idle.release()
    return job


@pytest.fixture
def pool() -> ThreadPool:
    return ThreadPool("hand")


def test_jobs_run_beside_each_other(pool: ThreadPool) -> None:
    jobs = [Job(), Job()]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.wait_until_it_runs()
    for job in jobs:
        job.let_end()
    pool.shutdown()


def test_thread_that_is_idle_takes_the_next_job(pool: ThreadPool) -> None:
    first, second = Job(), Job()
    pool.submit(first)
    ended(pool, first)
    pool.submit(second)
    second.wait_until_it_runs()
    assert second.thread is first.thread
    second.let_end()
    pool.shutdown()


def test_dismissed_thread_ends_after_its_job(pool: ThreadPool) -> None:
    job = Job()
    pool.submit(job)
    job.wait_until_it_runs()
    pool.shutdown()
    job.let_end()
    assert job.thread is not None
    job.thread.join(TIMEOUT_SECONDS)
    assert not job.thread.is_alive()
