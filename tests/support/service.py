"""The real service in a subprocess: started, watched, signalled, and always taken down.

Every start has its own process group, whose processes are killed at the end whatever happened, and
a port that the system chose: checkouts may test side by side.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests

from tests.support.ledger import Ledger, read_ledger

ROOM_SECONDS = 30.0
"""How long anything may take that should take moments; a slow machine must not fail a test."""

Found = TypeVar("Found")

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = Path(sys.executable).parent
_ADDRESS = re.compile(r"(?:Listening at:|[Rr]unning on) (http://127\.0\.0\.1:\d+)")
_OURS = re.compile(r"INGEST_|FLASK_|GUNICORN_|WEB_CONCURRENCY$")
_SHOWN_LOG_LENGTH = 6_000


class ServiceDied(Exception):
    """The process ended before it was ready."""


def gunicorn(*arguments: str) -> list[str]:
    """The command of the README with more arguments."""
    return [str(_SCRIPTS / "gunicorn"), "--bind", "127.0.0.1:0", *arguments, "wsgi:app"]


def flask(*arguments: str) -> list[str]:
    """A command of `flask` for the application."""
    return [str(_SCRIPTS / "flask"), "--app", "ingest_app", *arguments]


def ingest(*arguments: str) -> list[str]:
    """A command of `ingest`."""
    return [str(_SCRIPTS / "ingest"), *arguments]


def until(
    look: Callable[[], Found | None], what: str, *, room_seconds: float = ROOM_SECONDS
) -> Found:
    """The first true answer of `look`; AssertionError when there is none in the time given."""
    deadline = time.monotonic() + room_seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not in {room_seconds:g} s: {what}"
        time.sleep(0.02)


def environment(folder: Path, settings: dict[str, object]) -> dict[str, str]:
    """What a process gets: an instance folder inside `folder`, these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    ours = {f"INGEST_{name.upper()}": str(value) for name, value in settings.items()}
    return {**kept, "INGEST_INSTANCE_PATH": str(instance_path(folder)), **ours}


def instance_path(folder: Path) -> Path:
    """Where a service that was started in `folder` keeps its database and reads its settings."""
    return folder / "instance"


def run_to_end(
    command: Sequence[str], folder: Path, given: str = "", /, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself; `given` is its standard input."""
    process = _start(command, folder, settings, subprocess.PIPE)
    try:
        out, err = process.communicate(given, timeout=2 * ROOM_SECONDS)
    finally:
        kill_group(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextmanager
def running(
    folder: Path, command: Sequence[str] | None = None, /, **settings: object
) -> Iterator[Service]:
    """A service that answers `/readyz`, by default gunicorn as shipped with one worker.

    folder: the same one again restarts on the same database.
    settings: by their names, as in `interval_seconds=0.5`.
    """
    service = Service(folder, command or gunicorn("--workers", "1"), settings)
    try:
        service.wait_until_ready()
        yield service
    except BaseException as error:
        error.add_note(f"--- log of {service.log_path.name}\n{_shown(service.log)}")
        raise
    finally:
        service.kill()


def _shown(log: str) -> str:
    """The end of a log, and before it the first thing that went wrong in the rest, if any."""
    rest, end = log[:-_SHOWN_LOG_LENGTH], log[-_SHOWN_LOG_LENGTH:]
    _, found, wrong = rest.partition("Traceback")
    return f"{found}{wrong[:_SHOWN_LOG_LENGTH]}\n[...]\n{end}" if found else end


class Service:
    """One start of the service; use `running`, which takes it down."""

    def __init__(self, folder: Path, command: Sequence[str], settings: dict[str, object]) -> None:
        """Start it; the log goes to a file of its own in `folder`."""
        instance_path(folder).mkdir(parents=True, exist_ok=True)
        self.database = instance_path(folder) / "ingest.db"
        self.log_path = folder / f"start-{len(list(folder.glob('start-*.log'))) + 1}.log"
        with self.log_path.open("wb") as log:
            self.process = _start(command, folder, settings, log)
        self._client = requests.Session()
        self._client.trust_env = False  # a proxy of the environment is not for this machine
        # A kept-alive connection would bind the test to one worker.
        self._client.headers["Connection"] = "close"

    @property
    def log(self) -> str:
        """All that was written to standard output and error so far."""
        return self.log_path.read_text(errors="replace")

    @cached_property
    def url(self) -> str:
        """Where it listens, without a slash at the end; it is in the log."""
        return until(self._look_for_url, "an address in the log")

    def _look_for_url(self) -> str | None:
        self._check_alive()
        found = _ADDRESS.search(self.log)
        return found.group(1) if found else None

    def _check_alive(self) -> None:
        if self.process.poll() is not None:
            raise ServiceDied(f"exit code {self.process.returncode}")

    def wait_until_ready(self) -> None:
        """Return when `/readyz` says so (ServiceDied)."""
        until(self._is_ready, "/readyz answers 200")

    def _is_ready(self) -> bool:
        self._check_alive()
        try:
            return self.get("/readyz").status_code == 200
        except requests.RequestException:
            return False

    def wait_for_log(self, text: str, count: int = 1) -> None:
        """Return when the log has `text` so many times."""
        until(lambda: self.log.count(text) >= count, f"{count} times {text!r} in the log")

    def get(self, path: str, **more: Any) -> requests.Response:
        """GET a path."""
        return self._client.get(self.url + path, timeout=ROOM_SECONDS, **more)

    def post(self, path: str, json: object, **more: Any) -> requests.Response:
        """POST a value as JSON to a path."""
        return self._client.post(self.url + path, json=json, timeout=ROOM_SECONDS, **more)

    def ingest(self, ids: Sequence[object], priority: str = "MEDIUM", **more: object) -> str:
        """Submit IDs and return the ingestion's id; it must be acknowledged."""
        answer = self.post("/ingest", {"ids": list(ids), "priority": priority, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ingestion_id"])

    def status(self, ingestion_id: str) -> dict[str, Any]:
        """What `/status` answers."""
        answer = self.get(f"/status/{ingestion_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ledger(self) -> Ledger:
        """The ledger as it is now."""
        return read_ledger(self.database)

    def wait_for_dispatches(self, count: int, source: str = "default") -> Ledger:
        """The ledger of a source when it has at least so many dispatches."""

        def look() -> Ledger | None:
            ledger = self.ledger().of_source(source)
            return ledger if len(ledger.dispatches) >= count else None

        return until(look, f"{count} dispatches")

    def wait_until_all_ended(
        self, source: str = "default", *, room_seconds: float = ROOM_SECONDS
    ) -> Ledger:
        """The ledger of a source when every batch of it has ended."""

        def look() -> Ledger | None:
            ledger = self.ledger().of_source(source)
            return None if ledger.not_ended() else ledger

        return until(look, "every batch ended", room_seconds=room_seconds)

    def worker_pids(self) -> set[int]:
        """The processes under the first one."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def wait_for_workers(self, count: int) -> set[int]:
        """The processes under the first one, as soon as so many are there."""
        until(lambda: len(self.worker_pids()) == count, f"{count} workers")
        return self.worker_pids()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the first process only, as a supervisor does."""
        self.process.send_signal(number)

    def send_signal_to_group(self, number: signal.Signals) -> None:
        """Send a signal to all processes at once, as a terminal does on Ctrl-C."""
        os.killpg(self.process.pid, number)

    def has_exited(self, *, within_seconds: float) -> bool:
        """True when the first process ends within so many seconds."""
        try:
            self.process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait_for_exit(self) -> int:
        """The exit code, when the first process has ended."""
        return self.process.wait(2 * ROOM_SECONDS)

    def kill(self) -> None:
        """Kill all processes of this start; when this returns there are none."""
        self._client.close()
        kill_group(self.process)


def _start(
    command: Sequence[str], folder: Path, settings: dict[str, object], output: Any
) -> subprocess.Popen[str]:
    piped = output == subprocess.PIPE
    return subprocess.Popen(
        # Tests that run in a shell's background ignore Ctrl-C, and what they start would too.
        ["env", "--default-signal=INT", *command],
        cwd=_ROOT,
        env=environment(folder, settings),
        stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
        stdout=output,
        stderr=output if piped else subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a process that has a group of its own, with all of its group; then there are none."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not _is_alive(process.pid), "all processes of the service are gone")


def _is_alive(group: int) -> bool:
    return any(_is_member(process, group) for process in psutil.process_iter())


def _is_member(process: psutil.Process, group: int) -> bool:
    try:
        # What was killed stays as a zombie where no init collects it.
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
