"""Where a request comes from, while no API key says who makes it."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Request

_FORWARDED = ("Forwarded", "X-Forwarded-For")


def comes_from_this_machine(request: Request) -> bool:
    """True when a program of this machine sent it, by a name of this machine, and through no proxy.

    By its name, since a page of another site may give its own name this machine's address (DNS
    rebinding). A proxy that the settings trust has been taken out already, with its headers.
    """
    if any(header in request.headers for header in _FORWARDED):
        return False
    return is_loopback(request.remote_addr or "") and is_loopback(_host_name(request))


def is_loopback(host: str) -> bool:
    """True of a name or an address that is always this machine, and of a Unix socket's, empty."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("", "localhost")


def _host_name(request: Request) -> str:
    """What the request calls this machine: empty when it does not, "?" when that is no name."""
    host = request.headers.get("Host", "")
    try:
        return (urlsplit(f"//{host}").hostname or ("?" if host else "")).rstrip(".")
    except ValueError:
        return "?"
