"""nginx before an upstream: it allows one call an interval and not one more, and counts.

Its limit is a leaky bucket without a burst: a call that comes a millisecond too early is refused.
https://nginx.org/en/docs/http/ngx_http_limit_req_module.html
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import requests

from tests.support.nginx import running_nginx
from tests.support.service import ROOM_SECONDS

REFUSED = 429

_STATUS_PATH = "/-/status"
_ALL_QUIET = "Writing: 1 "  # the one answer that is being written is the status itself

_CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
worker_priority -10;  # the referee must be on time, also where others work
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 256; }}
http {{
    limit_req_zone $server_port zone=pace:64k rate={rate};
    limit_req_log_level notice;
    log_format calls escape=json '{{"ended_seconds": $msec, "took_seconds": $request_time,'
        ' "status": $status, "uri": "$request_uri", "connection": $connection}}';
    access_log {folder}/calls.jsonl calls;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    upstream behind {{ server {behind}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location = {status_path} {{ stub_status; access_log off; }}
        location / {{
            limit_req zone=pace;
            limit_req_status {refused};
            limit_rate {bytes_per_second};
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@dataclass(frozen=True)
class RefereedCall:
    """A call as nginx saw it.

    arrived_seconds: the wall clock when its first byte was there, to the millisecond.
    uri: path and query as they came, before any decoding.
    """

    arrived_seconds: float
    status: int
    uri: str
    connection: int

    @property
    def was_refused(self) -> bool:
        """True when it came too early."""
        return self.status == REFUSED

    def asked_for(self, parameter: str) -> tuple[str, ...]:
        """The IDs that a parameter of the query lists."""
        return tuple(parse_qs(urlsplit(self.uri).query)[parameter][0].split(","))

    @property
    def last_segment(self) -> str:
        """The last segment of its path, without an extension."""
        return unquote(urlsplit(self.uri).path).rpartition("/")[2].partition(".")[0]


class Referee:
    """A running nginx."""

    def __init__(self, folder: Path, url: str) -> None:
        """Describe the one that keeps its files in `folder` and listens at `url`."""
        self.url = url
        self._log = folder / "calls.jsonl"

    def calls(self) -> list[RefereedCall]:
        """The calls that have ended, in the order of their arrival."""
        rows = map(json.loads, self._log.read_text().splitlines())
        calls = [
            RefereedCall(
                round(row["ended_seconds"] - row["took_seconds"], 3),
                row["status"],
                row["uri"],
                row["connection"],
            )
            for row in rows
        ]
        return sorted(calls, key=lambda call: call.arrived_seconds)

    def is_idle(self) -> bool:
        """True when no call is under way, so that all are in `calls`."""
        with requests.Session() as session:
            session.trust_env = False
            return _ALL_QUIET in session.get(self.url + _STATUS_PATH, timeout=ROOM_SECONDS).text

    def refused(self) -> list[RefereedCall]:
        """The calls that came too early."""
        return [call for call in self.calls() if call.was_refused]


@contextmanager
def refereed(
    folder: Path, behind: str, *, rate: str, bytes_per_second: int = 0
) -> Iterator[Referee]:
    """An nginx that passes calls on to the address `behind` at most at this rate.

    rate: as nginx writes it, "2r/s" or "30r/m".
    bytes_per_second: how fast it hands out an answer, so that calls take their time; 0 for at once.
    """
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                rate=rate,
                refused=REFUSED,
                behind=urlsplit(behind).netloc,
                port=port,
                status_path=_STATUS_PATH,
                bytes_per_second=bytes_per_second,
            )
        )
        with running_nginx(folder, configuration, [listening]):
            yield Referee(folder, f"http://127.0.0.1:{port}")
