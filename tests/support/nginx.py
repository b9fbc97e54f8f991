"""A real nginx in a subprocess: started on sockets that listen already, and always taken down."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.lacking import need_tool
from tests.support.service import kill_group, until


@contextmanager
def running_nginx(
    folder: Path, configuration: Path, listening: Sequence[socket.socket]
) -> Iterator[None]:
    """An nginx that keeps its files in `folder`; it logs its errors there, from notices on."""
    process = _start(folder, configuration, listening)
    try:
        until(lambda: _is_up(process, folder), "nginx is up")
        yield
    finally:
        kill_group(process)


def _start(
    folder: Path, configuration: Path, listening: Sequence[socket.socket]
) -> subprocess.Popen[str]:
    program = need_tool("nginx", "nginx")
    # It takes over sockets that listen already, as from an older nginx: no one can take the ports.
    files = [one.fileno() for one in listening]
    with (folder / "start.log").open("wb") as log:
        return subprocess.Popen(
            [program, "-p", str(folder), "-c", str(configuration), "-e", f"{folder}/error.log"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            pass_fds=files,
            env={**os.environ, "NGINX": "".join(f"{file};" for file in files)},
        )


def _is_up(process: subprocess.Popen[str], folder: Path) -> bool:
    log = (folder / "error.log").read_text() if (folder / "error.log").exists() else ""
    assert process.poll() is None, log + (folder / "start.log").read_text()
    return "start worker process " in log
