"""Slow requests, and connections that clients do not close, against one worker of eight threads."""

from __future__ import annotations

import select
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from tests.support.raw_requests import connected, read_answer, read_to_end, read_until
from tests.support.service import ROOM_SECONDS, Service, gunicorn, running, until

pytestmark = pytest.mark.e2e

OURS = "ingest_app.gunicorn_worker.Worker"
THREAD_COUNT = 8
FEW_THREAD_COUNT = 4
HEAD_SECONDS = 1.0
IMPATIENT = "tests.support.impatient_worker.ImpatientWorker"
PLAIN = "gthread"
"""gunicorn's own, with which there is nothing of this."""

HALF = b"GET /healthz HTTP/1.1\r\nHost: local"
REST = b"host\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HALF_BODY = (
    b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 31\r\nConnection: close\r\n\r\n{"ids": [1], '
)
REST_OF_BODY = b'"priority": "LOW"}'
TLS_ALERT = b"\x15"


@contextmanager
def served(folder: Path, worker_class: str, *arguments: str) -> Iterator[Service]:
    command = gunicorn("--workers", "1", "--worker-class", worker_class, *arguments)
    with running(folder, command, simulated_latency_seconds=0) as service:
        yield service


def one_for_each_thread(stack: ExitStack, service: Service) -> Sequence[socket.socket]:
    """Connections with half a head."""
    return [stack.enter_context(connected(service, HALF)) for _ in range(THREAD_COUNT)]


def is_answered_while(
    service: Service, slow: Sequence[socket.socket], *, room_seconds: float
) -> bool:
    """Whether another client is, while these go on sending a header byte by byte."""

    def trickle_and_look() -> bool:
        for connection in slow:
            with suppress(ConnectionError):
                connection.send(b"x")
        return bool(select.select([asking], [], [], 0)[0])

    with connected(service, LAST) as asking:
        try:
            return until(trickle_and_look, "an answer", room_seconds=room_seconds)
        except AssertionError:
            return False


def test_half_heads_hold_threads_for_their_time_only(tmp_path: Path) -> None:
    with served(tmp_path, IMPATIENT) as service, ExitStack() as stack:
        silent = one_for_each_thread(stack, service)
        trickling = one_for_each_thread(stack, service)
        assert is_answered_while(service, trickling, room_seconds=20)
        for connection in silent:
            answer = read_answer(read_to_end(connection))
            assert answer.status == 408
            assert "1 seconds" in answer.problem()["detail"]
            assert answer.headers["X-Request-ID"] in service.log
        for connection in trickling:
            read_to_end(connection)
        assert service.log.count("head_timed_out address=127.0.0.1") == 2 * THREAD_COUNT


@pytest.mark.faults
def test_half_heads_hold_threads_of_the_plain_worker_for_ever(tmp_path: Path) -> None:
    with served(tmp_path, PLAIN) as service, ExitStack() as stack:
        trickling = one_for_each_thread(stack, service)
        assert not is_answered_while(service, trickling, room_seconds=5 * HEAD_SECONDS)


def test_head_in_pieces_is_answered(tmp_path: Path) -> None:
    with running(tmp_path) as service, connected(service, b"") as slow:
        for piece in (HALF[:3], HALF[3:], REST[:-1]):
            slow.sendall(piece)
            assert service.get("/healthz").status_code == 200
            assert not select.select([slow], [], [], 0)[0]
        slow.sendall(REST[-1:])
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


def wait_longer_than_a_head_may_take(service: Service) -> None:
    with connected(service, HALF) as late:
        assert read_answer(read_to_end(late)).status == 408


def test_only_the_head_has_to_be_quick(tmp_path: Path) -> None:
    with (
        served(tmp_path, IMPATIENT, "--keep-alive", "60") as service,
        connected(service, HALF + REST) as idle,
        connected(service, HALF_BODY) as sending,
    ):
        read_until(idle, b'{"status":"ok"}\n')
        wait_longer_than_a_head_may_take(service)
        sending.sendall(REST_OF_BODY)
        assert read_answer(read_to_end(sending)).status == 200
        idle.sendall(LAST)
        assert read_answer(read_to_end(idle)).status == 200


@pytest.mark.faults
def test_stop_does_not_wait_for_half_heads(tmp_path: Path) -> None:
    with served(tmp_path, IMPATIENT) as service, ExitStack() as stack:
        one_for_each_thread(stack, service)
        assert service.get("/healthz").status_code == 200  # so the others were taken up before
        stack.enter_context(connected(service, HALF))
        service.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert service.wait_for_exit() == 0
        assert time.monotonic() - began < 20  # of the graceful time, which is 30 s


@contextmanager
def served_over_tls(folder: Path) -> Iterator[tuple[ssl.SSLContext, int]]:
    """How to trust an impatient service, and its port."""
    authority = trustme.CA()
    pem = folder / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    client = ssl.create_default_context()
    authority.configure_trust(client)
    command = gunicorn("--workers", "1", "--worker-class", IMPATIENT, "--certfile", str(pem))
    service = Service(folder, command, {})
    try:
        service.wait_for_log("dispatcher_started")
        yield client, int(service.log.partition("https://127.0.0.1:")[2].split(maxsplit=1)[0])
    finally:
        service.kill()


@pytest.mark.faults
def test_over_tls_everything_has_to_come_in_time_and_is_answered_in_secret(tmp_path: Path) -> None:
    with served_over_tls(tmp_path) as (client, port), ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), ROOM_SECONDS))

        def speak(sent: bytes) -> ssl.SSLSocket:
            wrapped = client.wrap_socket(connect(), server_hostname="localhost")
            stack.enter_context(wrapped).sendall(sent)
            return wrapped

        broken = read_answer(speak(HALF.replace(b":", b" :") + REST).recv(65_536))
        assert (broken.status, broken.problem()["title"]) == (400, "Bad Request")
        assert broken.headers["Strict-Transport-Security"] == "max-age=31536000"
        late = speak(HALF)
        with pytest.raises(ssl.SSLError, match=r"ALERT|EOF"):
            late.recv(1)
        assert socket.socket.recv(late, 65_536) == b""
        shaking_hands = connect()
        shaking_hands.sendall(b"\x16\x03\x01\x02")
        assert read_to_end(shaking_hands)[:1] in (b"", TLS_ALERT)


def seconds_with_clients_that_do_not_close(folder: Path, worker_class: str) -> float:
    """How long it takes until two more of them than there are threads are answered, in turn."""
    few = ("--threads", str(FEW_THREAD_COUNT))
    with served(folder, worker_class, *few) as service, ExitStack() as stack:
        began = time.monotonic()
        for _ in range(FEW_THREAD_COUNT + 2):
            connection = stack.enter_context(connected(service, LAST))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        return time.monotonic() - began


def test_client_that_does_not_close_holds_up_nobody(tmp_path: Path) -> None:
    # A thread is free again after two seconds.
    assert seconds_with_clients_that_do_not_close(tmp_path, OURS) < 6


@pytest.mark.faults
def test_clients_that_do_not_close_hold_up_the_plain_worker(tmp_path: Path) -> None:
    # Two seconds for each but the last.
    assert seconds_with_clients_that_do_not_close(tmp_path, PLAIN) > 8
