"""Tell an endpoint of the operator's that an ingestion has ended, signed as Standard Webhooks."""

from ingest_app.webhooks.telling import Webhooks

__all__ = ["Webhooks"]
