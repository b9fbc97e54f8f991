"""Defaults for `gunicorn wsgi:app`; anything on gunicorn's command line comes first."""

from ingest_app.gunicorn_defaults import *  # noqa: F403 (gunicorn takes every name of this file)
