"""Ours and the original as processes of their own, each in a fresh folder."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.report import Peer
from tests.benchmarks.rounds import Plan
from tests.support.service import Service, gunicorn, instance_path, running

ORIGINAL = Peer("in-memory original", "nothing", "nothing; all is in the memory of one process")
FASTEST = Peer("the same at its fastest", ORIGINAL.keeps, ORIGINAL.durable)
HOW = (
    "gunicorn with gunicorn.conf.py as shipped, one file on a real disk; uvicorn as it comes, at"
    " its fastest uvicorn[standard] with the answer's type declared"
)

Settings = Mapping[str, Any]
Start = Callable[[Plan], AbstractContextManager[Service]]

# Both halves are read from small indexes.
LEFT = """
SELECT (SELECT count(*) FROM batches
        WHERE source = :source AND status = 'yet_to_start' AND not_before IS NULL)
     + (SELECT count(*) FROM batches WHERE source = :source AND status = 'triggered')
     + (SELECT coalesce(sum(batch_count), 0) FROM packed_batches
        WHERE source = :source AND status = 'yet_to_start')
"""
"""How many batches of a source wait for their first call or are under way."""

_UVICORN = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "0"]


@contextmanager
def ours(plan: Plan, *arguments: str, sources: str = "", **settings: object) -> Iterator[Service]:
    """The service on an empty database.

    arguments: gunicorn's.
    sources: what stands in `ingest.toml`.
    """
    with plan.fresh_folder() as folder:
        instance_path(folder).mkdir()
        (instance_path(folder) / "ingest.toml").write_text(sources)
        with running(folder, gunicorn(*arguments), **settings) as service:
            yield service


@contextmanager
def original(plan: Plan, *, is_fastest: bool = False) -> Iterator[Service]:
    """The original, without an access log, as ours has none.

    is_fastest: with the parts in C that `uvicorn[standard]` adds, else as `uvicorn` comes.
    """
    parts = () if is_fastest else ("--http", "h11", "--loop", "asyncio")
    command = [*_UVICORN, *parts, "--no-access-log", "tests.benchmarks.original:app"]
    with plan.fresh_folder() as folder, running(folder, command) as service:
        yield service


def processes(service: Service) -> list[psutil.Process]:
    """The first process and all below it."""
    first = psutil.Process(service.process.pid)
    return [first, *first.children(recursive=True)]


def batches_left(database: Path, source: str) -> int:
    """How many batches of a source have not ended."""
    return int(read_rows(database, LEFT, {"source": source})[0][0])


def read_rows(
    database: Path, query: str, values: Sequence[object] | Mapping[str, object] = ()
) -> list[tuple[Any, ...]]:
    """What a query gives on a file that may be in use."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30)) as reader:
        return reader.execute(query, values).fetchall()
