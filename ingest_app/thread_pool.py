"""Threads that are kept for the next job: to start one costs more than a short call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]
"""What a thread is to do; it must not raise."""


class ThreadPool:
    """As many threads as there ever were jobs at once; one thread submits them.

    Not `concurrent.futures`: at its end Python waits for that one's threads, so a call that hangs
    would keep a worker from stopping.
    """

    def __init__(self, name: str) -> None:
        """`name` is what the threads are called; there is none yet."""
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0

    def submit(self, job: Job) -> None:
        """Let the job begin at once, in a thread of its own (RuntimeError when there is none)."""
        if self._idle.acquire(blocking=False):
            self._jobs.put(job)
            return
        threading.Thread(target=self._work, args=(job,), name=self._name, daemon=True).start()
        self._count += 1

    def shutdown(self) -> None:
        """Let each thread end, after its job if it has one; nothing may be submitted any more."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self, job: Job | None) -> None:
        while job is not None:
            job()
            self._idle.release()
            job = self._jobs.get()
