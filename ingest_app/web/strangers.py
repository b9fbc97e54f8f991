"""Where a request comes from, while no API key says who makes it."""

from __future__ import annotations

import functools
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Request

_FORWARDED = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)
"""What proxies add, by their names in WSGI."""


def comes_from_this_machine(request: Request) -> bool:
    """True when a program of this machine sent it, by a name of this machine, and through no proxy.

    By its name, since a page of another site may give its own name this machine's address (DNS
    rebinding). A proxy on this machine that says nothing of itself cannot be told from a program.
    """
    environ = request.environ
    if any(header in environ for header in _FORWARDED):
        return False
    return is_loopback(request.remote_addr or "") and _is_own(environ.get("HTTP_HOST", ""))


@functools.lru_cache(maxsize=100)
def is_loopback(host: str) -> bool:
    """True of a name or an address that is always this machine, and of a Unix socket's, empty."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("", "localhost")


@functools.lru_cache(maxsize=100)
def _is_own(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return is_loopback(name.rstrip(".")) if name else not host
