"""The wheel, alone in a fresh environment and an empty folder, is the whole service."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from alembic.script import ScriptDirectory

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", "__pycache__", "*.egg-info", "build", "dist", "instance"
)
START_SECONDS = 60
STOP_SECONDS = 60
WORK_SECONDS = 60


@pytest.fixture(scope="module")
def workshop() -> Iterator[Path]:
    """A folder for the builds and the environment, removed whatever happens."""
    with tempfile.TemporaryDirectory(prefix="ingest-wheel-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def wheel(workshop: Path) -> Path:
    """The wheel made from the source distribution, which is how an index would get it."""
    tree = workshop / "tree"
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCE)
    return _build(tree, workshop / "dist")


@pytest.fixture(scope="module")
def installed(workshop: Path, wheel: Path) -> Path:
    """The folder with the commands of an environment that holds the wheel and its dependencies."""
    environment = workshop / "environment"
    venv.create(environment, with_pip=True)
    commands = environment / "bin"
    install = ("-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    _run(commands / "python", *install, cwd=workshop)
    return commands


def test_wheel_holds_every_module_migration_and_static_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == _shipped_files()


def test_wheel_made_from_the_tree_equals_the_one_made_from_the_sdist(
    workshop: Path, wheel: Path
) -> None:
    direct = _build(workshop / "tree", workshop / "direct", "--wheel")
    with zipfile.ZipFile(direct) as ours, zipfile.ZipFile(wheel) as theirs:
        assert sorted(ours.namelist()) == sorted(theirs.namelist())


def test_service_runs_from_the_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    with _serving(installed, folder=tmp_path, instance=instance) as (server, url):
        ingestion_id = _ingest(installed, url, "submit", "1", "2", "3", "4", "5").strip()
        batches = _ended(f"{url}/status/{ingestion_id}")["batches"]
        told = json.loads(_ingest(installed, url, "status", ingestion_id, "--json"))
        server.send_signal(signal.SIGTERM)
        assert server.wait(STOP_SECONDS) == 0
    assert [batch["ids"] for batch in batches] == [[1, 2, 3], [4, 5]]
    assert (told["status"], told["batch_count"]) == ("completed", 2)
    assert _revisions(instance / "ingest.db") == _newest_revisions()


def _build(tree: Path, into: Path, *options: str) -> Path:
    _run(sys.executable, "-m", "build", "--outdir", into, *options, tree, cwd=tree)
    (wheel,) = into.glob("*.whl")
    return wheel


def _run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _shipped_files() -> set[str]:
    """What the tree says the wheel should hold, by the names it has there."""
    rooms = {"ingest_app": "ingest_app", "migrations": "ingest_app/migrations"}
    return {
        f"{inside}/{file.relative_to(ROOT / outside).as_posix()}"
        for outside, inside in rooms.items()
        for file in (ROOT / outside).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@contextmanager
def _serving(
    commands: Path, *, folder: Path, instance: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Gunicorn on a port the system chose, and its address; it is dead afterwards."""
    log = folder / "gunicorn.log"
    environ = {
        "INGEST_INSTANCE_PATH": str(instance),
        "INGEST_INTERVAL_SECONDS": "0.2",
        "INGEST_SIMULATED_LATENCY_SECONDS": "0",
        "PATH": os.defpath,
    }
    command = (commands / "ingest", "serve", "--bind", "127.0.0.1:0", "--workers", "1")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True
        ) as server,
    ):
        try:
            yield server, _address(server, log)
        finally:
            with suppress(ProcessLookupError):  # all of them are gone, as they should be
                os.killpg(server.pid, signal.SIGKILL)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where gunicorn says it listens, as soon as it does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        said = re.search(r"Listening at: (http://\S+)", log.read_text())
        if said:
            return said[1]
        time.sleep(0.05)
    pytest.fail(f"gunicorn did not start:\n{log.read_text()}")


def _ingest(commands: Path, url: str, *arguments: str) -> str:
    """What the installed command prints."""
    command = [str(commands / "ingest"), *arguments, "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def _ended(status_url: str) -> Any:
    """The status of an ingestion, once all its batches are completed."""
    deadline = time.monotonic() + WORK_SECONDS
    while (status := _call(status_url))["status"] != "completed":
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def _call(url: str) -> Any:
    with urlopen(url, timeout=START_SECONDS) as answer:
        return json.load(answer)


def _revisions(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}


def _newest_revisions() -> set[str]:
    return set(ScriptDirectory(str(ROOT / "migrations")).get_heads())
