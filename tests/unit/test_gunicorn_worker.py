"""What our gunicorn worker answers itself, and when it stops waiting for a request."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidChunkExtension, InvalidChunkSize, InvalidRequestLine
from gunicorn.workers.gthread import ThreadWorker

from ingest_app.events import REQUEST_ID
from ingest_app.gunicorn_worker import Heads, Worker
from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.raw_requests import RawAnswer, read_answer, read_to_end

ADDRESS = ("192.0.2.7", 5)
NOW = 100.0
REQUEST: Mapping[str, Any] = {
    "path": "/status/%20x",
    "uri": "/status/%20x?a",
    "headers": [],
    "query": "a",
    "version": (1, 1),
}
"""What gunicorn reads of a request that it logs."""


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(0, os.getppid(), [], Mock(), 30, Config(), Mock())
    yield worker
    worker.tmp.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The worker's end of a connection and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(30)
        yield ours, theirs


@pytest.fixture
def ours(ends: tuple[socket.socket, socket.socket]) -> socket.socket:
    return ends[0]


@pytest.fixture
def theirs(ends: tuple[socket.socket, socket.socket]) -> socket.socket:
    return ends[1]


@pytest.fixture
def connection(ours: socket.socket) -> Mock:
    return Mock(sock=ours, client=ADDRESS)


def answered(ours: socket.socket, theirs: socket.socket) -> RawAnswer:
    ours.shutdown(socket.SHUT_WR)
    return read_answer(read_to_end(theirs))


def is_cut_off(ours: socket.socket) -> bool:
    ours.setblocking(False)
    try:
        return ours.recv(1) == b""
    except BlockingIOError:
        return False


def test_head_is_cut_off_when_its_time_is_over(connection: Mock) -> None:
    heads = Heads()
    heads.expect(connection, until=NOW)
    heads.cut_off(NOW - 0.001)
    assert not is_cut_off(connection.sock)
    heads.cut_off(NOW)
    assert is_cut_off(connection.sock)
    assert heads.end(connection)
    assert not heads.end(connection)  # the connection's next request is another matter


def test_head_that_has_come_is_left_alone(connection: Mock) -> None:
    heads = Heads()
    heads.expect(connection, until=NOW)
    assert not heads.end(connection)
    heads.cut_off(NOW)
    assert not is_cut_off(connection.sock)


def test_connection_that_is_gone_already_does_not_stop_the_loop(connection: Mock) -> None:
    heads = Heads()
    heads.expect(connection, until=NOW)
    connection.sock.close()
    heads.cut_off(NOW)
    assert heads.end(connection)


def test_head_that_comes_as_it_is_cut_off_is_late(
    worker: Worker, connection: Mock, theirs: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.head_seconds = -1.0
    worker.wsgi = Mock()

    def come_too_late(_worker: Worker, conn: Mock) -> Any:
        worker.notify()
        return worker.handle_request(Mock(), conn)

    monkeypatch.setattr(ThreadWorker, "handle", come_too_late)
    assert worker.handle(connection) is False
    assert read_answer(read_to_end(theirs)).status == 408
    assert not worker.wsgi.called


def test_http2_is_not_cut_off(
    worker: Worker, connection: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One call of gunicorn's serves all requests of such a connection.
    worker.head_seconds = -1.0

    def serve(_worker: Worker, conn: Mock) -> bool:
        worker.notify()
        return not is_cut_off(conn.sock)

    monkeypatch.setattr(ThreadWorker, "handle", lambda _worker, conn: worker.handle_http2(conn))
    monkeypatch.setattr(ThreadWorker, "handle_http2", serve)
    assert worker.handle(connection)


def test_fault_says_nothing_of_the_exception_and_has_the_id_of_its_request(
    worker: Worker, ours: socket.socket, theirs: socket.socket
) -> None:
    REQUEST_ID.set("of-the-request")
    request = Mock(**REQUEST, is_answered=False)
    worker.handle_error(request, ours, ADDRESS, RuntimeError("secret"))
    answer = answered(ours, theirs)
    problem = answer.problem()
    assert b"secret" not in answer.body
    assert (problem["status"], problem["instance"]) == (500, "/status/%20x")
    assert problem["request_id"] == answer.headers["X-Request-ID"] == "of-the-request"
    assert REQUEST_ID.get() is None


def test_request_is_answered_once_whatever_is_wrong_with_the_rest_of_its_body(
    worker: Worker, connection: Mock, theirs: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ThreadWorker, "handle_request", Mock(return_value=True))
    request = Mock(**REQUEST)
    worker.handle_request(request, connection)
    worker.handle_error(request, connection.sock, ADDRESS, InvalidChunkSize(b"zz"))
    connection.sock.shutdown(socket.SHUT_WR)
    assert read_to_end(theirs) == b""
    assert worker.log.warning.called
    assert REQUEST_ID.get() is None


def test_what_is_no_request_has_no_id_of_another_one(
    worker: Worker, ours: socket.socket, theirs: socket.socket
) -> None:
    REQUEST_ID.set("of-one-that-broke-off")
    worker.handle_error(None, ours, ADDRESS, InvalidRequestLine("x"))
    assert answered(ours, theirs).headers["X-Request-ID"] != "of-one-that-broke-off"


@pytest.mark.parametrize("sent", ["x" * 10_000, "\x00\x1b[2J\r\nA: b", "\x85\xff"])
def test_detail_repeats_little_of_what_was_sent_and_only_what_can_be_printed(
    worker: Worker, ours: socket.socket, theirs: socket.socket, sent: str
) -> None:
    worker.handle_error(None, ours, ADDRESS, InvalidChunkExtension(sent))
    answer = answered(ours, theirs)
    detail = answer.problem()["detail"]
    assert detail.startswith("Invalid chunk extension: ")
    assert detail.isprintable()
    assert len(detail) <= 201
    assert answer.body.isascii()


def test_client_that_is_gone_is_not_answered(worker: Worker, ours: socket.socket) -> None:
    ours.close()
    worker.handle_error(None, ours, ADDRESS, InvalidRequestLine("x"))
    assert REQUEST_ID.get() is None


def test_stop_at_once_waits_for_no_lock_that_interrupted_code_may_hold(worker: Worker) -> None:
    worker.tpool = worker.get_thread_pool()
    # In another thread, so that waiting for ever shows.
    with ThreadPoolExecutor(1) as main, worker.tpool._shutdown_lock:
        stop = main.submit(worker.handle_quit, signal.SIGQUIT, None)
        with pytest.raises(SystemExit):
            stop.result(TIMEOUT_SECONDS)
