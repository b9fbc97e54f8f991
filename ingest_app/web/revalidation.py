"""Answers that are asked for again and again: only what has changed is sent."""

from __future__ import annotations

import hashlib

from flask import Response, request


def revalidate(response: Response, tag: str | None = None) -> None:
    """Tag an answer, and make it 304 when it is the one that If-None-Match names (RFC 9110, 13).

    tag: what changes whenever the answer does; None for a digest of what it says, which an answer
        that has a tag already, or is streamed, does without.
    """
    if response.headers.get("ETag") or (tag is None and response.is_streamed):
        return
    # Kept by the client, but never used without asking whether it still holds.
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(tag or _digest(response))
    if request.headers.get("If-None-Match"):
        response.make_conditional(request)


def _digest(response: Response) -> str:
    # A page may lead on elsewhere though its entries are the same.
    link = response.headers.get("Link", "")
    return hashlib.sha256(link.encode() + response.get_data()).hexdigest()
