"""What comes from this machine, and what only looks so."""

from __future__ import annotations

import pytest
from flask import Request
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from ingest_app.web.strangers import comes_from_this_machine, is_loopback


def request(address: str, host: str, headers: dict[str, str] | None = None) -> Request:
    environ = EnvironBuilder(headers=Headers(headers)).get_environ()
    return Request({**environ, "HTTP_HOST": host, "REMOTE_ADDR": address})


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", "localhost:8000"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.9.9.9", "127.9.9.9:80"),
        ("::1", "[::1]:8000"),
        ("127.0.0.1", "LOCALHOST"),
        ("", "localhost"),  # a Unix socket
    ],
)
def test_programs_of_this_machine(address: str, host: str) -> None:
    assert comes_from_this_machine(request(address, host))


@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        ("192.0.2.7", "localhost:8000", {}),  # another machine
        ("2001:db8::7", "localhost:8000", {}),
        ("127.0.0.1", "evil.example", {}),  # a page of a site that gives its name this address
        ("127.0.0.1", "localhost.evil.example", {}),
        ("127.0.0.1", "127.0.0.1.evil.example", {}),
        ("127.0.0.1", "localhost@evil.example", {}),
        ("127.0.0.1", "192.0.2.7", {}),
        ("127.0.0.1", "[::1", {}),
        ("127.0.0.1", ":8000", {}),
        ("127.0.0.1", "/", {}),
        ("127.0.0.1", "localhost", {"X-Forwarded-For": "127.0.0.1"}),  # by a proxy
        ("127.0.0.1", "localhost", {"Forwarded": "for=192.0.2.7"}),
        ("127.0.0.1", "localhost", {"X-Real-IP": "192.0.2.7"}),
        ("127.0.0.1", "localhost", {"Via": "1.1 proxy"}),
        ("127.0.0.1", "localhost", {"X-Forwarded-Proto": "https"}),
        ("0.0.0.0", "localhost", {}),
    ],
)
def test_others(address: str, host: str, headers: dict[str, str]) -> None:
    assert not comes_from_this_machine(request(address, host, headers))


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("", True),
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_loopback(host: str, is_own: bool) -> None:
    assert is_loopback(host) is is_own
