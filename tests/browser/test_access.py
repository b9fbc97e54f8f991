"""Everybody can use the pages: axe finds nothing, they fit a phone, and a newcomer is led."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.browsing import expect, overflow_of, violations_of
from tests.support.faulty_upstream import Upstream
from tests.support.service import Service

from .conftest import BAD_ID, refuse_one

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]


@pytest.fixture(scope="module")
def failed_id(service: Service, upstream: Upstream) -> str:
    """An ingestion with a batch that has failed."""
    refuse_one(upstream)
    ingestion_id = service.ingest([1, 2, BAD_ID], source="catalog")
    service.wait_until_all_ended("catalog")
    return ingestion_id


@pytest.fixture
def shown(open_page: OpenPage, failed_id: str) -> Callable[..., Any]:
    """Open a page by its name and bring it into the state in which most can be wrong."""

    def shown(name: str, **options: Any) -> Any:
        paths = {"overview": "/", "ingestion": f"/ui/ingestions/{failed_id}", "form": "/ui/submit"}
        page = open_page(paths[name], **options)
        {"overview": _fill_overview, "ingestion": _open_attempts, "form": _fill_form}[name](page)
        return page

    return shown


@pytest.mark.parametrize("name", ["overview", "ingestion", "form"])
def test_axe_finds_nothing(shown: Callable[..., Any], name: str) -> None:
    page = shown(name)
    assert violations_of(page) == []


def test_axe_finds_nothing_in_questions_failures_and_the_banner(
    shown: Callable[..., Any], expected: list[str]
) -> None:
    expected += ["ERR_FAILED", "failed: "]
    page = shown("ingestion")
    page.route("**/ingestions/**", lambda route: route.abort())
    expect(page.locator("#banner")).to_be_visible()
    assert violations_of(page) == []
    page.get_by_role("button", name="Retry what failed").click()
    assert violations_of(page) == []


def test_axe_sees_what_is_wrong(shown: Callable[..., Any]) -> None:
    # The negative control of the tests above.
    page = shown("form")
    page.evaluate("document.querySelector('label[for=text]').remove()")
    assert any(violation.startswith("label") for violation in violations_of(page))


@pytest.mark.parametrize("name", ["overview", "ingestion", "form"])
def test_it_fits_a_phone(shown: Callable[..., Any], name: str) -> None:
    page = shown(name, viewport={"width": 375, "height": 700})
    assert overflow_of(page) <= 0
    page.set_viewport_size({"width": 320, "height": 700})  # WCAG 2.2, 1.4.10 Reflow
    assert overflow_of(page) <= 0


def test_a_newcomer_is_told_what_to_do(open_page: OpenPage, idle_address: str) -> None:
    page = open_page(url=idle_address)
    expect(page.locator("#welcome")).to_contain_text("Nothing has been handed over yet")
    expect(page.locator("#welcome-commands")).to_contain_text(f"curl {idle_address}/ingest")
    expect(page.locator("#welcome-commands")).to_contain_text("ingest submit 1 2 3")
    expect(page.locator("#activity-summary")).to_contain_text("No slot was used")
    assert violations_of(page) == []
    page.get_by_role("link", name="Submit the first IDs").click()
    expect(page.get_by_label("Paste them")).to_be_visible()
    page.close()


def _fill_overview(page: Any) -> None:
    expect(page.locator("#ingestions tr").first).to_be_visible()
    page.get_by_text("As a table").click()
    expect(page.locator("#activity-rows tr").first).to_be_visible()


def _open_attempts(page: Any) -> None:
    page.locator("#batches button").first.click()
    expect(page.locator(".attempts li").first).to_be_visible()
    expect(page.locator("#records tr")).to_have_count(3)


def _fill_form(page: Any) -> None:
    page.get_by_label("Paste them").fill("1\n1\nB7")
    expect(page.locator("#remarks li")).to_have_count(1)
    expect(page.locator("[data-priority=LOW] .when")).to_contain_text("done ")
