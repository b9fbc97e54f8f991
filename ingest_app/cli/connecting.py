"""How commands come by their client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ingest_app.client import Client

KEY_VARIABLE = "INGEST_API_KEY"


def client_of(context: click.Context, url: str) -> Client:
    """A client for the service at `url`, with the key of the environment if there is one.

    The context's object makes it; that is Client itself by default. ValueError when the address
    cannot be one, UnusableKey when the key cannot.
    """
    from ingest_app.client import Client  # noqa: PLC0415 (some commands do without)

    make_client: type[Client] = context.obj or Client
    return make_client(url, key=os.environ.get(KEY_VARIABLE) or None)
