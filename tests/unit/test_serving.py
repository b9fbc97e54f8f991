"""What our gunicorn hooks do with single requests."""

from __future__ import annotations

import runpy
from pathlib import Path
from unittest.mock import Mock

import pytest

import ingest_app
from ingest_app.serving import pre_request

DEFAULTS = Path(ingest_app.__file__).with_name("gunicorn_defaults.py")


@pytest.mark.parametrize(
    ("request_number", "is_let_go"),
    [
        pytest.param(1, False, id="the first on its connection"),
        pytest.param(99, False, id="kept alive"),
        pytest.param(100, True, id="another worker may have more time"),
    ],
)
def test_connection_is_let_go_of_after_many_requests(request_number: int, is_let_go: bool) -> None:
    request = Mock(req_number=request_number)
    pre_request(None, request)
    assert request.force_close.called == is_let_go


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("WEB_CONCURRENCY", "two", id="no number"),
        pytest.param("WEB_CONCURRENCY", "0", id="nobody to answer"),
        pytest.param("INGEST_BIND", "127.0.0.1:", id="no port"),
    ],
)
def test_defaults_that_cannot_be_end_gunicorn_with_one_line(
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(DEFAULTS))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ingest cannot start: {variable}")
