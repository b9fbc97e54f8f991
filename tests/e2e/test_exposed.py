"""A service that strangers can reach: where it listens, and what it does with what they send."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import flask_swagger_ui
import pytest

import ingest_app
from tests.support.raw_requests import address_of, exchange, read_answer
from tests.support.service import Service, gunicorn, ingest, run_to_end, running

_BUSY = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.e2e
@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0", "[::]:0"])
def test_open_service_does_not_listen_to_other_machines(tmp_path: Path, address: str) -> None:
    ended = run_to_end(gunicorn("--bind", address), tmp_path)
    assert ended.returncode == 2
    assert "ingest keys create" in ended.stderr
    assert "Listening at" not in ended.stderr


@pytest.mark.e2e
def test_open_service_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    service = Service(tmp_path, gunicorn("--bind", f"unix:{path}", "--workers", "1"), {})
    try:
        service.wait_for_log("Listening at")  # there is a socket a moment before that
        answer = exchange(str(path), f"{_BUSY}\r\n".replace("/healthz", "/sources").encode())
        assert answer.startswith(b"HTTP/1.1 200 ")
    finally:
        service.kill()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")


CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]")
TWICE = "POST /forecast HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
NOTHING = b""
REFUSED: dict[str, tuple[bytes, bytes]] = {
    "oversize header": (b"431", f"{_BUSY}X-Long: {'x' * 20_000}\r\n\r\n".encode()),
    "too many headers": (b"431", _BUSY.encode() + b"A: b\r\n" * 500 + b"\r\n"),
    "oversize path": (b"414", get("/" + "x" * 20_000)),
    "oversize key": (b"431", f"{_BUSY}Authorization: Bearer {'x' * 20_000}\r\n\r\n".encode()),
    "two words": (b"400", b"GET /\r\n\r\n"),
    "no words": (b"400", b"\x00\x1b[2J\xff\r\n\r\n"),
    "odd method": (b"400", _BUSY.replace("GET", "G[T").encode() + b"\r\n"),
    "unknown version": (b"400", _BUSY.replace("1.1", "9.9").encode() + b"\r\n"),
    "unknown coding": (b"501", f"{TWICE}Transfer-Encoding: squeeze\r\n\r\n".encode()),
    "unknown expectation": (b"417", f"{_BUSY}Expect: a miracle\r\n\r\n".encode()),
    "folded header": (b"400", f"{_BUSY}X-A: b\r\n c\r\n\r\n".encode()),
    "space before the colon": (b"400", f"{_BUSY}Host : other\r\n\r\n".encode()),
    "NUL in a header": (b"400", f"{_BUSY}X-A: b\x00c\r\n\r\n".encode()),
    "two lengths": (
        b"400",
        f"{TWICE}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".encode(),
    ),
    "length and chunks": (
        b"400",
        f"{TWICE}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
    ),
    "a coding before chunks": (
        b"422",  # what is within is not looked into, and is no JSON
        f"{TWICE}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".encode(),
    ),
    "no request": (NOTHING, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),  # TLS begins so
}
BROKEN_AFTER_ITS_ANSWER = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n"
)
"""The application does not read its body, so it is answered before that is looked at."""

_OURS = Path(ingest_app.__file__).parent
FOLDERS = {
    "/ui/static/": _OURS / "dashboard" / "static",
    "/docs/own/": _OURS / "web" / "static",
    "/docs/": Path(flask_swagger_ui.__file__).parent / "dist",
}
"""Where the files are that are sent under these paths."""

OUTSIDE = [
    "/ui/static/../pages.py",
    "/ui/static/..%2fpages.py",
    "/ui/static/%2e%2e/%2e%2e/settings.py",
    "/ui/static//etc/passwd",
    "/ui/static/%2fetc%2fpasswd",
    "/docs/..%2fflask_swagger_ui.py",
    "/docs/%2fetc%2fpasswd",
    "/docs/own/..%2fapi.py",
    "/docs/own/..%2f..%2fsettings.py",
]
MISSING = [
    *OUTSIDE,
    "/docs/%00",
    "/status/..%2f..%2fingest.db",
    "/status/%0d%0aSet-Cookie:%20a=b",
    "/ui/ingestions/%0d%0aSet-Cookie:%20a=b/x",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_that_lead_outside_lead_to_a_file(path: str) -> None:
    """Else that they are missing would say nothing."""
    prefix = next(prefix for prefix in FOLDERS if path.startswith(prefix))
    assert (FOLDERS[prefix] / unquote(path.removeprefix(prefix))).is_file()


@pytest.mark.e2e
@pytest.mark.parametrize("command", [gunicorn(), ingest("serve", "--bind", "127.0.0.1:0")])
def test_what_is_no_request_is_answered_like_one(tmp_path: Path, command: Sequence[str]) -> None:
    with running(tmp_path, command) as service:
        usual = read_answer(exchange(address_of(service), get("/healthz"))).security()
        assert None not in usual.values()
        for name, (status, sent) in REFUSED.items():
            if status != NOTHING:
                answer = read_answer(exchange(address_of(service), sent))
                problem = answer.problem()
                assert 10 < len(problem["detail"]) <= 201, (name, problem)
                assert answer.security() == usual, name


@pytest.mark.e2e
def test_what_strangers_send_is_refused_and_the_service_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, simulated_latency_seconds=0) as service:
        address = address_of(service)
        for name, (status, sent) in REFUSED.items():
            answer = exchange(address, sent)
            assert answer[:12] == (status and b"HTTP/1.1 " + status), (name, answer)
            assert not CONTROLS.search(answer), (name, answer)
        for path in MISSING:
            answer = exchange(address, get(path))
            assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), (path, answer)
            assert b"Set-Cookie" not in answer.partition(b"\r\n\r\n")[0], path
        assert exchange(address, BROKEN_AFTER_ITS_ANSWER).count(b"HTTP/1.1 ") == 1
        service.ingest([1])
        service.wait_until_all_ended()
        assert "Traceback" not in service.log
