"""A port that stays a test's own also while nothing listens there."""

from __future__ import annotations

import socket


def held_port() -> tuple[socket.socket, int]:
    """A port of 127.0.0.1, and the socket that holds it until it is closed.

    The socket does not listen: calls are refused until somebody does who, like it, has set
    SO_REUSEADDR; and the system gives the port to nobody who asks for any.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, int(holder.getsockname()[1])
