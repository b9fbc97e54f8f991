"""`ingest completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


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
