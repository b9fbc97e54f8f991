"""Settings from the environment: `INGEST_` and the setting's name, `__` before a nested key."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import Config
from marshmallow import Schema

from ingest_app.events import emit
from ingest_app.setting_fields import text
from ingest_app.setting_messages import variable_of
from ingest_app.settings import SETTING_NAMES


class ClientsSchema(Schema):
    """What the command line takes from the environment; the service has no use for it."""

    url = text("Where the command line finds the service.", default="http://127.0.0.1:8000")
    api_key = text("The API key with which the command line asks.")


_CLIENTS_NAMES = frozenset(ClientsSchema().fields)

_log = logging.getLogger(__name__)


def read_environment() -> dict[str, Any]:
    """All settings that the environment sets, by name; numbers and the like are read as JSON."""
    return {name: value for name, value in _given().items() if name in SETTING_NAMES}


def unknown_settings() -> list[str]:
    """The variables in the environment that look like settings and are none, by name.

    Not an error: Kubernetes sets INGEST_PORT and the like for a service called "ingest".
    """
    return [variable_of(name) for name in sorted(_given().keys() - SETTING_NAMES - _CLIENTS_NAMES)]


def warn_of_unknown_settings() -> None:
    """Log them."""
    for name in unknown_settings():
        emit(_log, "setting_ignored", level=logging.WARNING, name=name)


def _given() -> dict[str, Any]:
    config = Config("")
    config.from_prefixed_env("INGEST")
    return _lower_keys(config)


def _lower_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.lower(): _lower_keys(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }
