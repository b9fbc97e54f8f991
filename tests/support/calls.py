"""The calls as the upstream saw them, to be held against the ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.ledger import Ledger

CALLS_FILE = "CALLS_FILE"
"""The environment's name for the file that `recording_app` writes."""


@dataclass(frozen=True)
class Call:
    """One call: when it arrived, by the boot clock, and for which IDs."""

    boot_seconds: float
    ids: tuple[object, ...]


def recording(command: Sequence[str], path: Path) -> list[str]:
    """The gunicorn command for a service whose upstream notes its calls in `path`."""
    return ["env", f"{CALLS_FILE}={path}", *command[:-1], "tests.support.recording_app:app"]


def read_calls(path: Path) -> list[Call]:
    """All calls so far, in the order of their arrival."""
    lines = path.read_text().splitlines() if path.exists() else []
    calls = [Call(boot_seconds, tuple(ids)) for boot_seconds, ids in map(json.loads, lines)]
    return sorted(calls, key=lambda call: call.boot_seconds)


def unrecorded(calls: Sequence[Call], ledger: Ledger) -> list[tuple[object, ...]]:
    """The IDs of calls for which there is no dispatch in the ledger; IDs must be used once."""
    called = Counter(call.ids for call in calls)
    return list((called - Counter(map(tuple, ledger.ids_in_order()))).elements())
