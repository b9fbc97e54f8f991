"""The tables. People read them directly: plain words, readable UTC times, no blobs."""

from __future__ import annotations

from typing import cast

from sqlalchemy import Integer, Table, Text, column, table

from ingest_app.column_types import UTCDateTime
from ingest_app.models.access import ApiKey, BrowserSession
from ingest_app.models.base import Base
from ingest_app.models.queue import Batch, Dispatch, Ingestion, PackedBatch, Record, Source
from ingest_app.models.totals import (
    DispatchCounting,
    DispatchTotal,
    RequestTotal,
    UncountedDispatch,
)
from ingest_app.models.webhooks import WebhookDelivery, WebhookEndpoint
from ingest_app.states import BatchStatus

__all__ = [
    "ApiKey",
    "Base",
    "Batch",
    "BrowserSession",
    "Dispatch",
    "DispatchCounting",
    "DispatchTotal",
    "Ingestion",
    "PackedBatch",
    "Record",
    "RequestTotal",
    "Source",
    "UncountedDispatch",
    "WebhookDelivery",
    "WebhookEndpoint",
    "api_keys",
    "batches",
    "browser_sessions",
    "dispatch_counting",
    "dispatch_totals",
    "dispatches",
    "ingestion_status",
    "ingestions",
    "packed_batches",
    "records",
    "request_totals",
    "sources",
    "uncounted_dispatches",
    "webhook_deliveries",
    "webhook_endpoints",
]

# The queue's statements are written on the tables: without the ORM's work they cost half.
ingestions = cast(Table, Ingestion.__table__)
batches = cast(Table, Batch.__table__)
packed_batches = cast(Table, PackedBatch.__table__)
sources = cast(Table, Source.__table__)
dispatches = cast(Table, Dispatch.__table__)
records = cast(Table, Record.__table__)
api_keys = cast(Table, ApiKey.__table__)
browser_sessions = cast(Table, BrowserSession.__table__)
webhook_endpoints = cast(Table, WebhookEndpoint.__table__)
webhook_deliveries = cast(Table, WebhookDelivery.__table__)
dispatch_totals = cast(Table, DispatchTotal.__table__)
dispatch_counting = cast(Table, DispatchCounting.__table__)
uncounted_dispatches = cast(Table, UncountedDispatch.__table__)
request_totals = cast(Table, RequestTotal.__table__)

# A view made by the migrations; it is not in the metadata, so that no migration tries to make it
# a table.
ingestion_status = table(
    "ingestion_status",
    column("id", Text),
    column("status", Text),
    column("batch_count", Integer),
    *(column(f"{status}_count", Integer) for status in BatchStatus),
    column("first_triggered_at", UTCDateTime()),
    column("last_completed_at", UTCDateTime()),
)
