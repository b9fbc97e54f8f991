"""What gunicorn's first process does on the database before it forks."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest

from ingest_app.serving import on_starting

EVERYBODY = ("0.0.0.0", 8000)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A gunicorn that listens to other machines, which makes the start look for API keys."""
    monkeypatch.setenv("INGEST_INSTANCE_PATH", str(tmp_path))
    cfg = SimpleNamespace(address=[EVERYBODY], preload_app=False)
    return SimpleNamespace(
        cfg=cfg, reload=Mock(), log=SimpleNamespace(error_log=logging.getLogger())
    )


def open_files(folder: Path) -> list[str]:
    return [one.path for one in psutil.Process().open_files() if one.path.startswith(str(folder))]


def test_no_connection_is_open_after_the_start_was_checked(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):  # there is no key
        on_starting(server)
    assert (tmp_path / "ingest.db").exists()
    assert open_files(tmp_path) == []


def test_no_connection_is_open_after_a_reload_was_checked(
    server: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reload = server.reload
    server.cfg.address = [("127.0.0.1", 8000)]
    on_starting(server)
    server.cfg.address = [EVERYBODY]
    server.reload()
    assert "ingest keys create" in caplog.text
    assert not reload.called
    assert open_files(tmp_path) == []
