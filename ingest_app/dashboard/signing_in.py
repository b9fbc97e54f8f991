"""Signing in with a key and out again, and what those see who may not."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Response, render_template, request, url_for
from flask import redirect as to
from werkzeug import Response as AnyResponse
from werkzeug.exceptions import Forbidden, HTTPException

from ingest_app import events
from ingest_app.dashboard.shell import SIGN_IN_PATH, blueprint
from ingest_app.errors import IngestError, KeyNeeded
from ingest_app.states import Role
from ingest_app.web.access import (
    current_identity,
    nobody_needs_a_key,
    public,
    requires,
)
from ingest_app.web.attempts import holder_of_sent_key
from ingest_app.web.browsers import refuse_other_origins
from ingest_app.web.forms import FormTooLarge, sent_form
from ingest_app.web.landing import ask_to_sign_in, landing
from ingest_app.web.limits import count_request, count_sign_in
from ingest_app.web.problems import answer_http_exception, answer_ingest_error
from ingest_app.web.sessions import end_session_of, give_session, signed_in

_log = logging.getLogger(__name__)


@blueprint.get(SIGN_IN_PATH)
@public
def sign_in() -> str | AnyResponse:
    """Show the form that takes a key, to those who need one."""
    wanted = landing(request.args.get("next", ""))
    if nobody_needs_a_key() or signed_in() is not None:
        return to(wanted, HTTPStatus.SEE_OTHER)
    return render_template("dashboard/sign_in.html", wanted=wanted)


@blueprint.post(SIGN_IN_PATH)
@public
def check_key() -> AnyResponse:
    """Begin a session for the holder of a key."""
    refuse_other_origins()
    form = sent_form()
    holder = holder_of_sent_key(form.get("key", "").strip())
    count_request(holder)
    count_sign_in(holder)
    answer = to(landing(form.get("next", "")), HTTPStatus.SEE_OTHER)
    give_session(answer, holder)
    events.emit(_log, "signed_in", key=holder.key_name)
    return answer


@blueprint.post("/ui/sign-out")
@requires(Role.READER)
def sign_out() -> AnyResponse:
    """End the session."""
    answer = to(url_for(".sign_in"), HTTPStatus.SEE_OTHER)
    end_session_of(answer)
    events.emit(_log, "signed_out", key=current_identity().key_name)
    return answer


@blueprint.errorhandler(KeyNeeded)
def _ask_for_key(_: KeyNeeded) -> AnyResponse:
    return ask_to_sign_in()


@blueprint.errorhandler(IngestError)
def _explain(error: IngestError) -> Response:
    return _as_page(answer_ingest_error(error))


@blueprint.errorhandler(Forbidden)
@blueprint.errorhandler(FormTooLarge)
def _explain_http(error: HTTPException) -> Response:
    return _as_page(answer_http_exception(error))


def _as_page(problem: Response) -> Response:
    """The same answer for people; programs that ask for a page keep the problem."""
    detail = (problem.get_json() or {})["detail"]
    if request.endpoint == f"{blueprint.name}.{check_key.__name__}":
        text = render_template("dashboard/sign_in.html", wanted=_wanted(), refusal=detail)
    elif "text/html" in request.headers.get("Accept", ""):
        text = render_template("dashboard/refused.html", status=problem.status, detail=detail)
    else:
        return problem
    problem.data = text.encode()
    problem.content_type = "text/html; charset=utf-8"
    return problem


def _wanted() -> str:
    try:
        return landing(sent_form().get("next", ""))
    except FormTooLarge:
        return landing("")
