"""What the benchmarks need beside the service."""

from __future__ import annotations

import importlib.util
import shutil

_PACKAGES = ("fastapi", "uvicorn", "huey", "litequeue", "psutil")


def missing() -> str | None:
    """How to install what is missing; None when all is there."""
    if shutil.which("wrk") is None:
        return "wrk: apt-get install wrk"
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            return f"{package}: .venv/bin/pip install -c constraints.txt -e '.[test,benchmark]'"
    return None
