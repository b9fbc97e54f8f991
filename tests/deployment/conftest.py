"""The nginx of docs/deployment in front of a service."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from tests.support.nginx import running_nginx
from tests.support.service import ROOM_SECONDS, Service

DEPLOYMENT = Path(__file__).parents[2] / "docs" / "deployment"
NAME = "ingest.example"

_AROUND = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
{ours}
}}
"""
_UNDER_A_PATH = """\
    # location /queue/ {
    #     set $prefix /queue;
    #     proxy_pass http://127.0.0.1:8000/;
    # }
"""
_METRICS_CLOSED = "    # location = /metrics { deny all; }\n"
"""Both as docs/deployment/nginx.conf proposes them."""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@dataclass(frozen=True)
class Front:
    """A running nginx; plain_port redirects to secure_port, which speaks TLS."""

    plain_port: int
    secure_port: int
    trusting: ssl.SSLContext

    def connect(self, address: str = "127.0.0.1") -> HTTPSConnection:
        """A connection of a client at this address of ours; not open yet."""
        return HTTPSConnection(
            "127.0.0.1",
            self.secure_port,
            timeout=ROOM_SECONDS,
            context=self.trusting,
            source_address=(address, 0),
        )

    def ask(
        self,
        path: str,
        *,
        body: bytes | None = None,
        address: str = "127.0.0.1",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[HTTPResponse, bytes]:
        """The whole answer; a POST when there is a body."""
        named = {"Host": f"{NAME}:{self.secure_port}", "Content-Type": "application/json"}
        connection = self.connect(address)
        try:
            connection.request("POST" if body else "GET", path, body, {**named, **(headers or {})})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


@contextmanager
def nginx_before(
    service: Service,
    folder: Path,
    authority: trustme.CA,
    *,
    under_a_path: bool = False,
    metrics_closed: bool = False,
) -> Iterator[Front]:
    """The nginx of docs/deployment, with ports and certificate of this test."""
    folder.mkdir()
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        plain_port, secure_port = (one.getsockname()[1] for one in sockets)
        changes = {
            "listen 80;": f"listen 127.0.0.1:{plain_port};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{secure_port} ssl http2;",
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "/etc/ssl/ingest": str(folder),
        }
        if under_a_path:
            changes[_UNDER_A_PATH] = _UNDER_A_PATH.replace("# ", "")
        if metrics_closed:
            changes[_METRICS_CLOSED] = _METRICS_CLOSED.replace("# ", "")
        changes["127.0.0.1:8000"] = urlsplit(service.url).netloc
        ours = _changed((DEPLOYMENT / "nginx.conf").read_text(), changes)
        configuration = folder / "nginx.conf"
        configuration.write_text(_AROUND.format(folder=folder, ours=ours))
        _write_certificate(authority, folder)
        stack.enter_context(running_nginx(folder, configuration, sockets))
        yield Front(plain_port, secure_port, _trusting(authority))


def _changed(text: str, changes: dict[str, str]) -> str:
    for before, after in changes.items():
        assert before in text, f"docs/deployment/nginx.conf has no {before!r} any more"
        text = text.replace(before, after)
    return text


def _write_certificate(authority: trustme.CA, folder: Path) -> None:
    certificate = authority.issue_cert(NAME, "127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "privkey.pem"))
    for one in certificate.cert_chain_pems:
        one.write_to_path(str(folder / "fullchain.pem"), append=True)


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
