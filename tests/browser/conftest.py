"""One browser and one service for all tests here; what a test expects to fail it says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from ingest_app import create_app
from ingest_app.runtime import runtime_of
from tests.support.behaviours import for_ids, says
from tests.support.browsing import chromium, complaints_of
from tests.support.faulty_upstream import Upstream, faulty_upstream
from tests.support.service import Service, gunicorn, instance_path, running

BAD_ID = 13
"""The upstream refuses calls that ask for it, in words that look like markup."""
MAX_IDS = 300_000
REFUSAL = '{"error": "<b>no item</b> 13"}'

# default goes at once, catalog meets the upstream, and what waits for crawling stays.
CONFIGURATION = """
max_ids = {max_ids}
[sources.default]
interval_seconds = 0.05
simulated_latency_seconds = 0
[sources.catalog]
kind = "http"
url = "{url}/items?ids={{ids}}"
items = "rows"
interval_seconds = 0.05
max_attempts = 1
[sources.crawling]
interval_seconds = 3600
batch_size = 1
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def scratch_page(browser: Any, service: Service) -> Iterator[Any]:
    """A page in which modules can be tried by themselves."""
    page = browser.new_page()
    page.goto(service.url)
    yield page
    page.close()


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with faulty_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Service]:
    """A service with three sources, its one slot of "crawling" used up."""
    folder = tmp_path_factory.mktemp("dashboard")
    with configured(folder, upstream) as service:
        service.ingest([0], "HIGH", source="crawling")
        service.wait_for_dispatches(1, "crawling")
        yield service


def configured(folder: Path, upstream: Upstream) -> Any:
    """A service in `folder` that knows the three sources."""
    instance_path(folder).mkdir(parents=True, exist_ok=True)
    text = CONFIGURATION.format(url=upstream.url, max_ids=MAX_IDS)
    (instance_path(folder) / "ingest.toml").write_text(text)
    return running(folder, gunicorn("--workers", "1", "--bind", "127.0.0.1:0"))


@pytest.fixture
def idle_address(tmp_path: Path) -> Iterator[str]:
    with idle(tmp_path) as address:
        yield address


@contextmanager
def idle(folder: Path, *, port: int = 0) -> Iterator[str]:
    """Serve the application on this or a free port; nothing dispatches."""
    app = create_app({"instance_path": str(folder), "dispatch": False})

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        # Whole, and its file closed: the server leaves that open where a browser hangs up.
        parts, status, headers = run_wsgi_app(app, environ, buffered=True)
        start_response(status, list(headers))
        return parts

    server = make_server("127.0.0.1", port, answer, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        runtime_of(app).database.engine.dispose()


@pytest.fixture(autouse=True)
def refusing(upstream: Upstream) -> None:
    """The upstream is as each test finds it."""
    refuse_one(upstream)


def refuse_one(upstream: Upstream) -> None:
    """Let the upstream refuse calls that ask for the bad ID."""
    upstream.behaviour = for_ids([BAD_ID], says(400, REFUSAL))


@pytest.fixture
def expected() -> list[str]:
    """Parts of the complaints that a test brings about on purpose; it adds to them."""
    return []


@pytest.fixture
def open_page(browser: Any, service: Service, expected: list[str]) -> Iterator[Callable[..., Any]]:
    """Open a page of the dashboard; nothing may go wrong in it until the test ends.

    by_hand: time can be stopped in it, and moved.
    """
    contexts: list[Any] = []
    complaints: list[list[str]] = []

    def open_page(path: str = "/", *, url: str = "", by_hand: bool = False, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        complaints.append(complaints_of(page))
        if by_hand:
            page.clock.install()
        page.goto((url or service.url) + path)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")  # the test is over, whatever is under way
        context.close()
    unexpected = [
        complaint
        for found in complaints
        for complaint in found
        if not any(part in complaint for part in expected)
    ]
    assert unexpected == []
