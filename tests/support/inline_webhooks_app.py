"""The service as it must not be: the endpoint is told where batches are settled."""

from __future__ import annotations

from unittest import mock

from ingest_app import create_app, settling
from ingest_app.settling import Ended
from ingest_app.webhooks.sender import Sender

_senders: list[Sender] = []
_tell = settling._tell


def _keep(sender: Sender) -> None:
    if sender not in _senders:
        _senders.append(sender)


def _tell_all(ended: Ended) -> None:
    _tell(ended)
    for sender in _senders:
        sender.send_next()


mock.patch.object(Sender, "start", _keep).start()
mock.patch.object(Sender, "stop").start()
mock.patch.object(settling, "_tell", _tell_all).start()
app = create_app()
