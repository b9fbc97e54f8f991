"""A service that asks a faulty upstream, its settings, and the figures of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.behaviours import row_of
from tests.support.faulty_upstream import Upstream, faulty_upstream
from tests.support.outcomes import fetched, records
from tests.support.promises import verified
from tests.support.service import Service, gunicorn, instance_path, running

Tell = Callable[..., None]

TWO_WORKERS = gunicorn("--workers", "2", "--preload")
INTERVAL_SECONDS = 0.2
TIMEOUT_SECONDS = 10
"""Longer than a busy machine needs for an answer that comes at once."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with faulty_upstream() as upstream:
        yield upstream


@contextmanager
def ingesting(
    folder: Path, upstream: Upstream, path: str = "/items?ids={ids}", /, **settings: object
) -> Iterator[Service]:
    """A service of two workers that asks this upstream, and in the end has kept its promises.

    path: what the upstream's address is followed by.
    """
    common = {"interval_seconds": INTERVAL_SECONDS, "timeout_seconds": TIMEOUT_SECONDS}
    write_source(folder, url=upstream.url + path, items="rows", **{**common, **settings})
    with running(folder, TWO_WORKERS) as service:
        yield service
        verified(service.database)


def write_source(folder: Path, **settings: object) -> None:
    """Let the source `default` of the service that is started in `folder` be of kind "http"."""
    instance_path(folder).mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {_toml(value)}" for name, value in {"kind": "http", **settings}.items()]
    text = "\n".join(["[sources.default]", *lines, ""])
    (instance_path(folder) / "ingest.toml").write_text(text)


def _toml(value: object) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return (
        "{" + ", ".join(f"{json.dumps(key)} = {_toml(below)}" for key, below in value.items()) + "}"
    )


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Keep figures with the test's result; `-rP` shows them."""

    def keep(**figures: object) -> None:
        for name, figure in figures.items():
            record_property(name, figure)
        print("  ".join(f"{name.replace('_', ' ')}: {figure}" for name, figure in figures.items()))

    return keep


def check_all_fetched(database: Path, ids: Sequence[int]) -> None:
    """Every ID once, in the order of the request, with what the upstream knows of it."""
    assert fetched(database) == [(item, row_of(item)) for item in ids]
    assert len(records(database)) == len(ids)
