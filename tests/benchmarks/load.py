"""The load generator: wrk, a C program that leaves most of the machine to the servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
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


def _run(
    url: str, method: str, lines: Sequence[str], folder: Path, connections: int, seconds: int
) -> Figures:
    given = folder / "wrk.txt"
    given.write_text("\n".join(lines))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    answer = subprocess.run(
        [*command, "-s", str(_SCRIPT), url, "--", method, str(given)],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    return {
        "rate": found["requests"] / found["microseconds"] * 1e6,
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "errors": found["errors"],
    }
