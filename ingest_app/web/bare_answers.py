"""Problems as the bytes of a whole answer, where no request came as far as the application."""

from __future__ import annotations

from http import HTTPStatus
from wsgiref.handlers import format_date_time

from ingest_app.events import REQUEST_ID
from ingest_app.web.browsers import security_headers
from ingest_app.web.observing import HEADER
from ingest_app.web.problems import CONTENT_TYPE, problem_text


def bare_problem(
    status: HTTPStatus, detail: str, *, instance: str, is_secure: bool, now: float
) -> bytes:
    """The last answer on a connection, with the id of the request that this thread answers.

    instance: the path that was asked for, quoted; empty when it is not known.
    is_secure: that the client speaks TLS. now: seconds since the epoch.
    """
    body = problem_text(status, detail, instance=instance, errors={}).encode()
    headers: dict[str, object] = {
        "Date": format_date_time(now),
        "Connection": "close",
        "Content-Type": CONTENT_TYPE,
        "Content-Length": len(body),
        HEADER: REQUEST_ID.get(),
        **security_headers(is_secure=is_secure),
    }
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status:d} {status.phrase}\r\n{fields}\r\n".encode() + body
