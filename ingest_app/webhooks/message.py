"""What is sent: body and headers, as Standard Webhooks has them. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest_app.clock import instant
from ingest_app.states import BatchStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Message:
    """One end of an ingestion; the same however often it is sent."""

    webhook_id: str
    body: bytes

    def headers(self, keys: Sequence[bytes], sent_at: datetime) -> dict[str, str]:
        """What this attempt is sent with, signed with each of the keys."""
        timestamp = str(int(sent_at.timestamp()))
        signed = b".".join((self.webhook_id.encode(), timestamp.encode(), self.body))
        return {
            "webhook-id": self.webhook_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(_signature(key, signed) for key in keys),
        }


def message_of(
    ingestion_id: str, status: BatchStatus, ended_at: datetime, data: Mapping[str, Any]
) -> Message:
    """The message that an ingestion ended so; `data` is what the API answers of it."""
    body = {"type": f"ingestion.{status}", "timestamp": instant(ended_at), "data": data}
    # Of when it ended, not of our row: a database that was restored counts its rows anew.
    microseconds = (ended_at - _EPOCH) // timedelta(microseconds=1)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Message(f"{ingestion_id}_{microseconds}", text.encode())


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
