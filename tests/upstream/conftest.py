"""A source of kind "http" for the service under test, and the figures of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.service import instance_path

Tell = Callable[..., None]


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
