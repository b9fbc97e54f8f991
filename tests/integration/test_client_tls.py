"""The client to a service behind TLS: whose certificates it believes, what it says of others."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from ingest_app.client import Client
from ingest_app.errors import RequestFailed
from tests.support.raw_upstream import Exchange, Upstream, serving


def say_none(exchange: Exchange) -> None:
    exchange.reply({"sources": []})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(authority: trustme.CA) -> Iterator[Upstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(say_none, context) as service:
        yield service


def refusal_of(url: str) -> str:
    with pytest.raises(RequestFailed) as raised:
        Client(url, sleep=lambda _: None).sources()
    return str(raised.value)


def test_authority_of_the_environment_is_believed_for_this_machine_too(
    authority: trustme.CA, service: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    assert "REQUESTS_CA_BUNDLE=FILE" in refusal_of(service.url)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert Client(service.url).sources() == []


def test_service_that_speaks_no_tls_is_said_to_be_so() -> None:
    with serving(say_none) as service:
        assert "no TLS with it" in refusal_of(service.url.replace("http:", "https:"))
