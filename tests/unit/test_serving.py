"""What our gunicorn hooks do with single requests."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from ingest_app.serving import pre_request


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
