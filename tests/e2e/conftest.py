"""Sources for tests that need several paces in one service."""

from __future__ import annotations

from pathlib import Path

from tests.support.service import instance_path


def write_sources(folder: Path, toml: str) -> None:
    """Give the service that is started in `folder` a settings file."""
    instance_path(folder).mkdir(parents=True)
    (instance_path(folder) / "ingest.toml").write_text(toml)
