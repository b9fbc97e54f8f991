"""Signing in, working and signing out in real Chromium, by role, and what is seen afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from ingest_app.access.keys import create_key, revoke_key
from ingest_app.clock import SystemClock
from ingest_app.database import Database
from ingest_app.states import Role
from tests.support.browsing import expect, look_again, overflow_of, violations_of
from tests.support.queues import opened
from tests.support.service import gunicorn, running

from .conftest import idle

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

MAIL = "https://mail.example/"
PLAIN = "http://ingest.example"
EVIL = "http://evil.example/"
NOT_ANY_MORE = "You are no longer signed in. What you see is from "


@dataclass(frozen=True)
class Closed:
    """A service that only those with a key may use; nothing dispatches."""

    url: str
    database: Database
    keys: dict[Role, str]

    def new_key(self, name: str, role: Role = Role.SUBMITTER) -> str:
        clock = SystemClock()
        return create_key(self.database, name, role, clock=clock, owner="library").text

    def revoke(self, name: str) -> None:
        revoke_key(self.database, name, clock=SystemClock())

    def ingest(self) -> str:
        key = {"Authorization": f"Bearer {self.keys[Role.SUBMITTER]}"}
        body = {"ids": [1, 2, 3, 4], "priority": "HIGH"}
        return str(
            requests.post(f"{self.url}/ingest", json=body, headers=key).json()["ingestion_id"]
        )


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    command = gunicorn("--workers", "1")
    with (
        running(tmp_path_factory.mktemp("closed"), command, dispatch=False) as service,
        opened(service.database) as database,
    ):
        closed = Closed(service.url, database, {})
        closed.keys.update({role: closed.new_key(f"{role}-key", role) for role in Role})
        yield closed


@pytest.fixture
def sign_in(open_page: OpenPage, closed: Closed, expected: list[str]) -> Callable[..., Any]:
    """Open a page, give the key of a role (or another) there, and land on that page."""
    expected.append("401")

    def sign_in(given: Role | str, path: str = "/", **options: Any) -> Any:
        page = open_page(path, url=closed.url, **options)
        enter(page, closed.keys[given] if isinstance(given, Role) else given)
        expect(page.locator(".visitor")).to_be_visible()
        return page

    return sign_in


def enter(page: Any, key: str) -> None:
    """Type a key into the form, where the focus is, and send it."""
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.insert_text(key)
    page.keyboard.press("Enter")


def test_signing_in_working_and_signing_out(sign_in: Callable[..., Any], closed: Closed) -> None:
    page = sign_in(Role.OPERATOR, "/ui/submit")
    expect(page).to_have_url(f"{closed.url}/ui/submit")
    expect(page.locator(".visitor")).to_contain_text("operator-key")
    page.get_by_label("Paste them").fill("1, 2, 3")
    page.get_by_role("button", name="Submit 3 IDs").click()
    page.wait_for_url("**/ui/ingestions/*")
    page.get_by_role("button", name="Cancel what waits").click()
    page.get_by_role("button", name="Cancel them").click()
    expect(page.locator("#state")).to_have_text("cancelled")
    page.get_by_role("link", name="Overview").first.click()
    page.get_by_role("button", name="Pause default").click()
    page.get_by_role("button", name="Resume default").click()
    expect(page.get_by_role("button", name="Pause default")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{closed.url}/ui/sign-in")
    assert page.context.cookies() == []


def test_going_back_after_signing_out_shows_nothing(
    sign_in: Callable[..., Any], closed: Closed
) -> None:
    ingestion_id = closed.ingest()
    page = sign_in(Role.READER)
    expect(page.get_by_role("link", name=ingestion_id)).to_be_visible()
    page.get_by_role("link", name=ingestion_id).click()
    expect(page.locator("#all")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    for _ in range(2):
        page.go_back()
        expect(page.get_by_label("API key")).to_be_visible()
        expect(page.locator("body")).not_to_contain_text(ingestion_id)


def test_a_wrong_key_is_refused_and_another_may_follow(
    open_page: OpenPage, closed: Closed, expected: list[str]
) -> None:
    expected.append("401")
    page = open_page("/ui/submit", url=closed.url)
    enter(page, "ing_wrong")
    expect(page.get_by_role("alert")).to_contain_text("not known here, or was revoked")
    assert violations_of(page) == []
    enter(page, closed.keys[Role.SUBMITTER])
    expect(page).to_have_url(f"{closed.url}/ui/submit")


def test_it_needs_no_script_to_sign_in_and_out(browser: Any, closed: Closed) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(closed.url)
    page.get_by_label("API key").fill(closed.keys[Role.READER])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".visitor")).to_contain_text("reader-key")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    context.close()


@pytest.fixture
def plain_page(browser: Any, closed: Closed) -> Iterator[Any]:
    """A page that reaches the service under another name without TLS: through it as a proxy."""
    context = browser.new_context(proxy={"server": closed.url})
    yield context.new_page()
    context.close()


def test_without_tls_a_browser_says_enough_to_sign_in(plain_page: Any, closed: Closed) -> None:
    plain_page.goto(PLAIN)
    with plain_page.expect_request(lambda request: request.method == "POST") as sent:
        enter(plain_page, closed.keys[Role.READER])
    headers = sent.value.all_headers()
    assert "sec-fetch-site" not in headers
    assert headers["origin"] == PLAIN
    expect(plain_page.locator(".visitor")).to_contain_text("reader-key")


def test_without_tls_another_site_signs_nobody_in(plain_page: Any, closed: Closed) -> None:
    field = f'<input name="key" value="{closed.keys[Role.READER]}">'
    body = f'<form method="post" action="{PLAIN}/ui/sign-in">{field}<button>Win</button></form>'
    plain_page.route(EVIL, lambda route: route.fulfill(body=body, content_type="text/html"))
    plain_page.goto(EVIL)
    plain_page.get_by_role("button", name="Win").click()
    expect(plain_page.get_by_role("alert")).to_contain_text("A page of another site")
    assert plain_page.context.cookies() == []


def test_a_link_in_a_mail_opens_for_who_is_signed_in(
    sign_in: Callable[..., Any], closed: Closed
) -> None:
    address = f"{closed.url}/ui/ingestions/{closed.ingest()}"
    page = sign_in(Role.READER)
    body = f'<a href="{address}">Done</a>'
    page.route(MAIL, lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(MAIL)
    page.get_by_role("link", name="Done").click()
    expect(page).to_have_url(address)
    expect(page.locator("#all")).to_be_visible()


def test_a_key_that_is_revoked_ends_the_work_and_one_goes_on_with_another(
    sign_in: Callable[..., Any], closed: Closed
) -> None:
    path = f"/ui/ingestions/{closed.ingest()}?after=1"
    page = sign_in(closed.new_key("revoked"), path)
    expect(page.locator("#all")).to_be_visible()
    closed.revoke("revoked")
    page.get_by_role("button", name="Cancel what waits").click()
    page.get_by_role("button", name="Cancel them").click()
    expect(page.locator("#failure")).to_contain_text("sign in and try again", ignore_case=True)
    expect(page.locator("#banner")).to_contain_text(NOT_ANY_MORE)
    assert violations_of(page) == []
    page.locator("#banner").get_by_role("link", name="Sign in").click()
    enter(page, closed.keys[Role.SUBMITTER])
    expect(page).to_have_url(closed.url + path)
    expect(page.locator("#all")).to_be_visible()


def test_what_is_in_the_form_is_not_lost_without_a_warning(
    sign_in: Callable[..., Any], closed: Closed
) -> None:
    page = sign_in(closed.new_key("revoked-2"), "/ui/submit")
    page.get_by_label("Paste them").fill("1, 2, 3")
    expect(page.locator("#preview-note")).to_contain_text("1 batch")
    closed.revoke("revoked-2")
    look_again(page)
    expect(page.locator("#banner")).to_contain_text(NOT_ANY_MORE)
    questions: list[str] = []

    def stay(dialog: Any) -> None:
        questions.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    with page.expect_event("dialog"):
        page.locator("#banner").get_by_role("link", name="Sign in").click(no_wait_after=True)
    expect(page.get_by_label("Paste them")).to_have_value("1, 2, 3")
    assert questions == ["beforeunload"]


def test_a_page_of_an_earlier_session_does_not_show_what_another_may_see(
    sign_in: Callable[..., Any], closed: Closed
) -> None:
    page = sign_in(Role.READER)
    other_tab = page.context.new_page()
    other_tab.goto(closed.url)
    other_tab.get_by_role("button", name="Sign out").click()
    enter(other_tab, closed.keys[Role.OPERATOR])
    expect(other_tab.locator(".visitor")).to_contain_text("operator-key")
    look_again(page)
    expect(page.locator("#banner")).to_contain_text(NOT_ANY_MORE)
    page.locator("#banner").get_by_role("link", name="Sign in").click()
    expect(page.locator(".visitor")).to_contain_text("operator-key")


def test_the_first_key_is_asked_for_in_pages_that_are_open(
    open_page: OpenPage, expected: list[str], tmp_path: Path
) -> None:
    expected.append("401")
    with idle(tmp_path) as address, opened(tmp_path / "ingest.db") as database:
        page = open_page(url=address)
        expect(page.locator("#sources li")).to_have_count(1)
        key = create_key(database, "first", Role.READER, clock=SystemClock()).text
        look_again(page)
        banner = page.locator("#banner")
        expect(banner).to_contain_text("An API key has been created, so one is needed now.")
        banner.get_by_role("link", name="Sign in").click()
        enter(page, key)
        expect(page.locator("#welcome")).to_contain_text("Your key may only look.")
        expect(page.locator("#welcome-commands")).to_contain_text("Bearer $INGEST_API_KEY")
        page.close()


def test_a_reader_is_offered_nothing_to_do(
    sign_in: Callable[..., Any], closed: Closed, expected: list[str]
) -> None:
    expected.append("403")
    page = sign_in(Role.READER)
    expect(page.locator("#sources li")).to_have_count(1)
    expect(page.get_by_role("button", name="Pause default")).to_be_hidden()
    expect(page.get_by_role("link", name="Submit IDs")).to_have_count(0)
    page.goto(f"{closed.url}/ui/ingestions/{closed.ingest()}")
    expect(page.locator("#all")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Cancel|Retry"))).to_have_count(0)
    page.goto(f"{closed.url}/ui/submit")
    expect(page.locator("main")).to_contain_text("the role submitter; yours has reader")


def test_a_submitter_may_not_pause(sign_in: Callable[..., Any], closed: Closed) -> None:
    page = sign_in(Role.SUBMITTER)
    expect(page.locator("#sources li")).to_have_count(1)
    expect(page.get_by_role("button", name="Pause default")).to_be_hidden()
    page.goto(f"{closed.url}/ui/ingestions/{closed.ingest()}")
    expect(page.get_by_role("button", name="Cancel what waits")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/ui/submit"])
def test_axe_finds_nothing_and_it_fits_a_phone(
    sign_in: Callable[..., Any], closed: Closed, expected: list[str], path: str
) -> None:
    expected.append("403")
    name = f"a-key-with-a-long-name{path.replace('/', '-')}".ljust(63, "x")
    page = sign_in(closed.new_key(name, Role.READER), viewport={"width": 375, "height": 700})
    page.goto(closed.url + path)
    for width in (375, 320, 1180):
        page.set_viewport_size({"width": width, "height": 700})
        assert overflow_of(page) <= 0
    assert violations_of(page) == []
    page.get_by_role("button", name="Sign out").click()
    page.set_viewport_size({"width": 320, "height": 700})
    assert overflow_of(page) <= 0
    assert violations_of(page) == []


def test_the_documentation_reads_with_the_session_and_writes_with_a_key(
    sign_in: Callable[..., Any], closed: Closed, expected: list[str]
) -> None:
    expected.append("403")
    page = sign_in(Role.READER, "/")
    page.goto(f"{closed.url}/docs")
    assert "200" in _try_out(page, "sources-sources")
    assert "403" in _try_out(page, "submission-ingest")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(closed.keys[Role.SUBMITTER])
    page.get_by_role("button", name="Apply credentials").click()
    page.locator(".auth-container").get_by_role("button", name="Close").click()
    page.locator("#operations-submission-ingest").get_by_role("button", name="Execute").click()
    answer = page.locator("#operations-submission-ingest .live-responses-table")
    expect(answer.locator("tbody .response-col_status")).to_contain_text("200")


def _try_out(page: Any, operation_id: str) -> str:
    operation = page.locator(f"#operations-{operation_id}")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    status = operation.locator(".live-responses-table tbody .response-col_status")
    return str(status.inner_text())
