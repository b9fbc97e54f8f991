"""`ingest completion`, and the ids that the shell completes."""

from __future__ import annotations

from itertools import islice

import click
from click.shell_completion import CompletionItem, get_completion_class

from ingest_app.cli.connecting import client_of
from ingest_app.client import DEFAULT_URL
from ingest_app.errors import RequestFailed


@click.command(short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL.

    For bash in ~/.bashrc, for zsh in ~/.zshrc: eval "$(ingest completion bash)". For fish:
    ingest completion fish > ~/.config/fish/completions/ingest.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    root = context.find_root()
    click.echo(script(root.command, {}, "ingest", "_INGEST_COMPLETE").source())


def complete_ingestion_id(
    context: click.Context, _: click.Parameter, begun: str
) -> list[CompletionItem]:
    """The newest ingestions whose id begins so, with what they are; none without the service."""
    try:
        listed = client_of(context, context.params.get("url") or DEFAULT_URL).ingestions(limit=50)
        newest = list(islice(listed, 50))
    except (RequestFailed, ValueError):
        return []
    return [
        CompletionItem(entry["ingestion_id"], help=f"{entry['status']}, {entry['id_count']} IDs")
        for entry in newest
        if entry["ingestion_id"].startswith(begun)
    ]
