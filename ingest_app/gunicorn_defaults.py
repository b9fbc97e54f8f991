"""What gunicorn runs with unless its command line says otherwise.

`ingest serve` uses it, and so does `gunicorn.conf.py` for `gunicorn wsgi:app`; from elsewhere:
`gunicorn -c python:ingest_app.gunicorn_defaults "ingest_app:create_app()"`.
"""

from ingest_app import processes
from ingest_app.application import configured_log_format
from ingest_app.errors import SettingsError
from ingest_app.serving import (
    on_starting,
    post_worker_init,
    pre_request,
    refuse_to_start,
    worker_exit,
)

__all__ = [
    "bind",
    "control_socket_disable",
    "forwarded_allow_ips",
    "graceful_timeout",
    "logger_class",
    "on_starting",
    "post_worker_init",
    "pre_request",
    "threads",
    "worker_class",
    "worker_exit",
    "workers",
]

try:
    bind = processes.bind()
    workers = processes.worker_count()
except SettingsError as error:
    refuse_to_start(error)
worker_class = "ingest_app.gunicorn_worker.Worker"
threads = 8
graceful_timeout = 30
_is_json = configured_log_format() == "json"
logger_class = "ingest_app.serving.JsonLogger" if _is_json else "gunicorn.glogging.Logger"
# A control socket would be shared by all instances of this user.
control_socket_disable = True
# What a proxy says of a request counts only where the setting trusted_proxy_count says so.
forwarded_allow_ips = ""
