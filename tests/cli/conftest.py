"""The command line against an application in this process; nothing dispatches."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from requests.adapters import BaseAdapter

from ingest_app import create_app
from ingest_app.cli import main
from ingest_app.client import Client
from ingest_app.runtime import runtime_of
from tests.support.adapters import BASE_URL, AppAdapter, session_of
from tests.support.clocks import FakeClock
from tests.support.queues import Queue

MAX_IDS = 20
SETTINGS: dict[str, object] = {
    "dispatch": False,
    "max_ids": MAX_IDS,
    "interval_seconds": 0,
    "sources": {"catalog": {"batch_size": 2, "interval_seconds": 5}},
}


class Run(Protocol):
    def __call__(self, *arguments: object, **more: Any) -> Result: ...


@pytest.fixture
def app(tmp_path: Path, migrated_file: Path) -> Iterator[Flask]:
    instance = tmp_path / "instance"
    instance.mkdir()
    shutil.copyfile(migrated_file, instance / "ingest.db")
    app = create_app({**SETTINGS, "instance_path": str(instance)})
    yield app
    runtime_of(app).database.engine.dispose()


@pytest.fixture
def run(app: Flask) -> Run:
    """`ingest …`, with the application in the network's place."""
    return runner_of(AppAdapter(app))


@pytest.fixture
def queue(app: Flask) -> Queue:
    """The application's queue, to be worked on by hand."""
    runtime = runtime_of(app)
    clock = cast(FakeClock, runtime.clock)  # the real one: nobody moves it here
    return Queue(runtime.database, runtime.settings.source("default"), clock)


def runner_of(adapter: BaseAdapter) -> Run:
    """`ingest …`, with this adapter in the network's place; it does not pause."""

    def make_client(url: str, *, key: str | None) -> Client:
        return Client(url, key=key, session=session_of(adapter), sleep=lambda _: None)

    def run(*arguments: object, **more: Any) -> Result:
        environ = {"INGEST_URL": BASE_URL, **more.pop("env", {})}
        given = [str(each) for each in arguments]
        return CliRunner().invoke(main, given, obj=make_client, env=environ, **more)

    return run


def one_line(result: Result, status: int) -> str:
    """The only line on standard error, of a command that ended so and printed nothing."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("ingest: ")
    return line.removeprefix("ingest: ")


def stored_ids(app: Flask, result: Result) -> list[list[Any]]:
    """The IDs of each ingestion whose id was printed."""
    assert result.exit_code == 0, result.output
    client = app.test_client()
    found = [client.get(f"/status/{line}").json for line in result.stdout.splitlines()]
    return [[item for batch in each["batches"] for item in batch["ids"]] for each in found]
