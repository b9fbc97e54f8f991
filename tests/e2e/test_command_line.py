"""The command line as people use it: in a terminal and in pipes, against a service it started."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.service import ROOM_SECONDS, Service, running
from tests.support.terminal import CTRL_C, Terminal, terminal

pytestmark = pytest.mark.e2e

INGEST = str(Path(sys.executable).with_name("ingest"))
SETTINGS = {"interval_seconds": 0.2, "simulated_latency_seconds": 0}
UNDER_WAY = re.compile(r"━.*\D(?:[1-9]|[12]\d)/30.*done \d\d:\d\d:\d\d")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    serve = [INGEST, "serve", "--bind", "127.0.0.1:0", "--workers", "1"]
    with running(folder, serve, **SETTINGS) as service:
        yield service


@pytest.fixture
def environ(service: Service) -> dict[str, str]:
    return {**os.environ, "INGEST_URL": service.url}


def shell(line: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a line of bash does in which `ingest` is ours."""
    return subprocess.run(
        ["bash", "-c", f'ingest() {{ {shlex.quote(INGEST)} "$@"; }}; {line}'],
        env=environ,
        capture_output=True,
        text=True,
        timeout=2 * ROOM_SECONDS,
        check=False,
    )


def in_terminal(environ: dict[str, str], *arguments: str) -> AbstractContextManager[Terminal]:
    return terminal([INGEST, *arguments], environ)


def test_terminal_shows_a_bar_and_ctrl_c_leaves_the_work_running(
    service: Service, environ: dict[str, str]
) -> None:
    # More than is fetched while the command starts, also on a busy machine.
    ingestion_id = service.ingest(range(90))
    with in_terminal(environ, "watch", ingestion_id, "--every", "0.1") as screen:
        screen.read_until(lambda shown: UNDER_WAY.search(shown) is not None)
        screen.press(CTRL_C)
        assert screen.wait_for_exit() == 130
    assert screen.shown.rstrip().endswith(f"Come back with: ingest watch {ingestion_id}")
    assert "Traceback" not in screen.shown
    service.wait_until_all_ended()
    assert service.get(f"/ingestions/{ingestion_id}").json()["status"] == "completed"


def test_terminal_shows_the_end_of_what_is_watched(
    service: Service, environ: dict[str, str]
) -> None:
    ingestion_id = service.ingest([1], "HIGH")
    with in_terminal(environ, "watch", ingestion_id, "--every", "0.1") as screen:
        assert screen.wait_for_exit() == 0
    assert "100%" in screen.shown
    assert f"{ingestion_id} completed: 1 batch, 1 ID." in screen.shown


def test_terminal_shows_how_much_of_a_large_submission_is_sent(
    service: Service, environ: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(map(str, range(100_000))))
    with in_terminal(environ, "submit", "--file", str(path), "--key", "large") as screen:
        assert screen.wait_for_exit() == 0
    assert "Sending 100,000 IDs" in screen.shown
    stored = service.get("/ingestions").json()["ingestions"][0]
    assert stored["ingestion_id"] in screen.shown
    assert stored["id_count"] == 100_000
    service.post(f"/ingestions/{stored['ingestion_id']}/cancel", None)


def test_pipe_gets_plain_text_alone(environ: dict[str, str]) -> None:
    done = shell("seq 1 7 | ingest submit - --watch; ingest list; ingest sources", environ)
    assert done.returncode == 0
    assert "completed: 3 batches, 7 IDs." in done.stdout
    assert CONTROL.search(done.stdout + done.stderr) is None


def test_pipe_carries_an_id_from_one_command_to_the_next(environ: dict[str, str]) -> None:
    done = shell(
        "id=$(ingest submit 1 B7 2>/dev/null) && ingest watch $id >&2 && ingest records $id",
        environ,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, "B7"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("ingest list --all", id="a table"),
        pytest.param("ingest records $(ingest submit 1 -p HIGH 2>/dev/null)", id="records"),
        pytest.param("ingest --help", id="help"),
    ],
)
def test_reader_that_goes_away_is_no_error(command: str, environ: dict[str, str]) -> None:
    done = shell(f"{command} | true; echo ${{PIPESTATUS[0]}}", environ)
    assert done.stdout.strip() in ("0", "141")  # it depends on who is quicker
    assert "ingest:" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_full_disk_under_the_output_is_one_line(environ: dict[str, str]) -> None:
    done = shell("ingest sources > /dev/full", environ)
    assert (done.returncode, done.stderr) == (2, "ingest: output: No space left on device.\n")


def test_full_disk_under_the_id_of_a_submission_loses_neither_it_nor_its_key(
    environ: dict[str, str],
) -> None:
    lost = shell("ingest submit 1 --key full > /dev/full", environ)
    again = shell("ingest submit 1 --key full", environ)
    assert (lost.returncode, again.returncode) == (2, 0)
    (line,) = lost.stderr.splitlines()
    assert "run the same command with --key 'full'" in line
    assert line.endswith(f"The id of the last is {again.stdout.strip()}.")
