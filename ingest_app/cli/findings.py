"""What speaks against a promise, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingest_app.cli.output import note

if TYPE_CHECKING:
    from ingest_app.verifying import Finding

_TOLD_COUNT = 20


def tell_findings(findings: Sequence[Finding]) -> None:
    """Tell the first of them beside the output."""
    for finding in findings[:_TOLD_COUNT]:
        note(f"{finding.promise}: {finding.what} ({finding.where})")
    left_out_count = len(findings) - _TOLD_COUNT
    if left_out_count > 0:
        note(f"... and {left_out_count} more; ingest verify --json lists all.")


def as_facts(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The same as JSON has it, all of them."""
    return [dict(vars(finding)) for finding in findings]
