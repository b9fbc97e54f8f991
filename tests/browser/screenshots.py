"""The pictures of the README: `python -m tests.browser.screenshots [MINUTES]`.

A service with three sources does real work for some minutes, part of which fails; then the pages
are photographed into docs/images/.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.behaviours import Answer, Call, for_ids, says
from tests.support.browsing import chromium, expect
from tests.support.faulty_upstream import Upstream, faulty_upstream
from tests.support.service import Service, gunicorn, instance_path, running

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTH, HEIGHT = 1180, 900
BAD_ID = 1213
BAD_BATCH = "Batch 11: 1 attempt"
EVERY_FEW = 11

CONFIGURATION = """
[sources.default]
[sources.catalog]
kind = "http"
url = "{url}/items?ids={{ids}}"
items = "rows"
interval_seconds = 2
batch_size = 20
[sources.prices]
kind = "http"
url = "{url}/prices?ids={{ids}}"
items = "rows"
interval_seconds = 1
batch_size = 10
"""


def main(minutes: float) -> None:
    """Run the service for so long and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        faulty_upstream(_often_overloaded) as upstream,
        _working(Path(folder), upstream) as service,
        chromium() as browser,
    ):
        failed_id = _hand_over(service)
        time.sleep(60 * minutes)
        service.ingest(range(100), "HIGH")
        service.post("/sources/prices/pause", {})
        _photograph(browser, service.url, "/", "overview")
        _photograph(browser, service.url, f"/ui/ingestions/{failed_id}?after=8", "ingestion")


def _often_overloaded(call: Call) -> Answer:
    if call.number % EVERY_FEW == 0:
        return says(503, '{"error": "too busy"}')(call)
    return for_ids([BAD_ID], says(400, '{"error": "no item 1213"}'))(call)


def _working(folder: Path, upstream: Upstream) -> Any:
    instance_path(folder).mkdir(parents=True)
    (instance_path(folder) / "ingest.toml").write_text(CONFIGURATION.format(url=upstream.url))
    return running(folder, gunicorn("--workers", "2"))


def _hand_over(service: Service) -> str:
    service.ingest(range(1, 30_001), "LOW")
    service.ingest([f"B{number:05}" for number in range(9_000)], source="prices")
    failed_id = service.ingest(range(1_000, 12_000), source="catalog")
    service.ingest(range(200, 260), "HIGH")
    service.ingest(range(300, 460), "HIGH", source="catalog")
    service.ingest([f"A{number}" for number in range(90)])
    return failed_id


def _photograph(browser: Any, url: str, path: str, name: str) -> None:
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.goto(url + path)
    if "after" in path:
        page.get_by_role("button", name=BAD_BATCH).click()
    expect(page.locator("tbody [data-part=bar], #bar").first).to_be_visible()
    expect(page.locator("#activity-summary, #finish").first).not_to_be_empty()
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
