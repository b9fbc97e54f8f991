"""The service without one of its mechanisms; see `switching_off`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from unittest import mock

from sqlalchemy import Connection

from ingest_app import create_app, source_loop
from ingest_app.in_flight import InFlight
from ingest_app.queue import claim, settle
from ingest_app.queue.claim import Claim
from ingest_app.queue.columns import NO_LEASE
from ingest_app.queue.statements import UPDATE_BATCH
from ingest_app.queue.watching import Watch
from tests.support.switching_off import SWITCHED_OFF


def _nothing(*_args: object, **_more: object) -> tuple[()]:
    return ()


def _always(*_args: object) -> bool:
    return True


def _let_go_without_looking(
    connection: Connection, claim: Claim, values: Mapping[str, Any]
) -> None:
    connection.execute(UPDATE_BATCH, {"the_batch": claim.batch_id, **values, **NO_LEASE})


_STAND_INS = {
    "slot": (claim, "_spend_slot", _nothing),
    "token": (settle, "_let_go", _let_go_without_looking),
    "deferral": (settle, "defer_source", _nothing),
    "recovery": (source_loop, "recover_expired_leases", _nothing),
    "heartbeat": (InFlight, "renew", _nothing),
    "watch": (Watch, "look", _always),
}

mock.patch.object(*_STAND_INS[os.environ[SWITCHED_OFF]]).start()
app = create_app()
