"""Defaults for `gunicorn wsgi:app`; anything on gunicorn's command line comes first."""

import os

from ingest_app.serving import on_starting, post_worker_init, pre_request, worker_exit

__all__ = ["on_starting", "post_worker_init", "pre_request", "worker_exit"]

bind = os.environ.get("INGEST_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = 8
graceful_timeout = 30
# A control socket would be shared by all instances of this user.
control_socket_disable = True
