"""Ours and the original as processes of their own, each in a fresh folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.benchmarks.report import Peer
from tests.benchmarks.rounds import Plan
from tests.support.service import Service, gunicorn, running

ORIGINAL = Peer("in-memory original", "nothing; all is in the memory of one process")
HOW = "gunicorn with gunicorn.conf.py as shipped, one file on a real disk; uvicorn[standard]"

Start = Callable[[Plan], AbstractContextManager[Service]]

_UVICORN = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "0"]


@contextmanager
def ours(plan: Plan, *arguments: str, **settings: object) -> Iterator[Service]:
    """The service on an empty database; `arguments` are gunicorn's."""
    with (
        plan.fresh_folder() as folder,
        running(folder, gunicorn(*arguments), **settings) as service,
    ):
        yield service


@contextmanager
def original(plan: Plan) -> Iterator[Service]:
    """The original, without an access log, as ours has none."""
    command = [*_UVICORN, "--no-access-log", "tests.benchmarks.original:app"]
    with plan.fresh_folder() as folder, running(folder, command) as service:
        yield service
