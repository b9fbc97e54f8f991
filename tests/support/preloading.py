"""Small C libraries that stand between the service and the system, built when a test needs them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.lacking import need_tool

_SOURCES = Path(__file__).parent


def build_library(name: str, folder: Path) -> Path:
    """Compile `name`.c of this folder into a shared library in `folder`."""
    compiler = need_tool("gcc", "gcc libc6-dev")
    library = folder / f"{name}.so"
    source = _SOURCES / f"{name}.c"
    flags = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-pthread")
    subprocess.run([compiler, *flags, "-o", library, source, "-ldl"], check=True)
    return library


def preloaded(command: Sequence[str], library: Path, **environment: object) -> list[str]:
    """The command with the library under it and more in its environment."""
    more = (f"{name}={value}" for name, value in environment.items())
    return ["env", f"LD_PRELOAD={library}", *more, *command]
