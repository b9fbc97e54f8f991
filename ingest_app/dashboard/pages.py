"""The pages as shells: what stands in them the browser reads from the public interface."""

from __future__ import annotations

from flask import render_template

from ingest_app.dashboard.shell import blueprint
from ingest_app.runtime import current_runtime
from ingest_app.states import Role
from ingest_app.web.access import requires


@blueprint.get("/")
@requires(Role.READER)
def overview() -> str:
    """Show sources, waiting work, activity and ingestions."""
    return render_template("dashboard/overview.html")


@blueprint.get("/ui/ingestions/<ingestion_id>")
@requires(Role.READER)
def ingestion(ingestion_id: str) -> str:
    """Show one ingestion; the page itself says so where there is none of this id."""
    return render_template("dashboard/ingestion.html", ingestion_id=ingestion_id)


@blueprint.get("/ui/submit")
@requires(Role.SUBMITTER)
def submit() -> str:
    """Show the form that hands over IDs."""
    return render_template("dashboard/submit.html", max_ids=current_runtime().settings.max_ids)
