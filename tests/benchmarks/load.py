"""The load generator: wrk, a C program that leaves most of the machine to the servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.rounds import Figures

SMALL = json.dumps({"ids": [1, 2, 3, 4, 5], "priority": "MEDIUM"})

_SCRIPT = Path(__file__).with_name("load.lua")


def post_small(url: str, folder: Path, *, connections: int, seconds: int) -> Figures:
    """POST the same five IDs over and over; `folder` is for what wrk reads."""
    return _run(url, "POST", [SMALL], folder, connections, seconds)


def get_each(
    url: str, folder: Path, *, paths: Sequence[str], connections: int, seconds: int
) -> Figures:
    """GET the paths in turn, round and round."""
    return _run(url, "GET", paths, folder, connections, seconds)


@contextmanager
def posting(url: str, folder: Path, *, connections: int) -> Iterator[None]:
    """Go on with `post_small` all the while."""
    command = _command(url, "POST", [SMALL], folder, connections, seconds=3_600)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
            assert process.poll() is None, "wrk ended too early"
        finally:
            process.kill()


def _run(
    url: str, method: str, lines: Sequence[str], folder: Path, connections: int, seconds: int
) -> Figures:
    command = _command(url, method, lines, folder, connections, seconds)
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=seconds + 60
    )
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    return {
        "rate": found["requests"] / found["microseconds"] * 1e6,
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "errors": found["errors"],
    }


def _command(
    url: str, method: str, lines: Sequence[str], folder: Path, connections: int, seconds: int
) -> list[str]:
    given = folder / "wrk.txt"
    given.write_text("\n".join(lines))
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    return [*wrk, "-s", str(_SCRIPT), url, "--", method, str(given)]
