"""The group of all commands: loads each when it is called, and turns every error into one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ingest_app.cli.connecting import KEY_VARIABLE
from ingest_app.cli.exits import ExitStatus
from ingest_app.cli.output import note
from ingest_app.cli.refusals import describe_errors
from ingest_app.cli.signals import ending_as_ctrl_c_does
from ingest_app.errors import IngestError, RequestFailed

_SECTIONS = {
    "Work": {
        "submit": "submit:submit",
        "status": "status:status",
        "forecast": "status:forecast",
        "watch": "watch:watch",
        "records": "records:records",
        "list": "listing:list_ingestions",
        "cancel": "control:cancel",
        "retry": "control:retry",
    },
    "Sources": {
        "sources": "sources:sources",
        "pause": "sources:pause",
        "resume": "sources:resume",
    },
    "For the operator": {
        "serve": "serve:serve",
        "db": "db:db",
        "keys": "keys:keys",
        "verify": "verify:verify",
        "backup": "backup:backup",
        "restore": "restore:restore",
        "prune": "prune:prune",
        "webhooks": "webhooks:webhooks",
        "settings": "settings:settings",
        "completion": "completion:completion",
    },
}
"""Where each command is, in the order of `--help`."""

_LONGEST_BUG = 500

_COMMANDS = {name: place for section in _SECTIONS.values() for name, place in section.items()}


class Program(click.Group):
    """A group that loads its commands when they are called.

    A command returns its exit status, None for 0; what it raises is one line on standard error.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, as `--help` has them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command."""
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, name = place.split(":")
        command = getattr(import_module(f"ingest_app.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, section by section."""
        for title, commands in _SECTIONS.items():
            loaded = {name: self.get_command(ctx, name) for name in commands}
            with formatter.section(title):
                formatter.write_dl(
                    [(name, each.get_short_help_str(70)) for name, each in loaded.items() if each]
                )

    def main(self, args: Sequence[str] | None = None, *_: Any, **more: Any) -> Any:
        """Run the command and exit."""
        try:
            with ending_as_ctrl_c_does():
                status = super().main(args, **{**more, "standalone_mode": False})
        except (click.Abort, KeyboardInterrupt):
            status = _tell("interrupted.", ExitStatus.INTERRUPTED)
        except click.ClickException as error:
            status = _tell(_sentence(error), error.exit_code, of=error)
        except Exception as error:
            # Not from a command, but from reading the options or from telling what went wrong.
            if sys.flags.dev_mode:
                raise
            status = _tell_bug(error)
        sys.exit(int(status or ExitStatus.DONE))

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the options, of which `--help` writes something already."""
        try:
            return super().make_context(*args, **more)
        except BrokenPipeError:
            _let_go_of_output()
            raise click.exceptions.Exit(ExitStatus.READER_GONE) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its exit status, also that of what went wrong."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
            return status
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            with suppress(OSError):  # the terminal may be gone
                click.echo(err=True)
            raise click.Abort from None
        except Exception as error:
            if _is_bug(error) and sys.flags.dev_mode:
                raise
            return _status_of(error)


def _is_bug(error: Exception) -> bool:
    return not isinstance(error, IngestError | OSError | UnicodeEncodeError)


def _status_of(error: Exception) -> int:
    """Say what went wrong, and return what it is as an exit status."""
    if isinstance(error, RequestFailed):
        message = describe_errors(error.errors) or str(error)
        if error.status == HTTPStatus.UNAUTHORIZED:
            message += f" Commands take it from {KEY_VARIABLE}."
        status = ExitStatus.REFUSED if error.is_refusal else ExitStatus.UNAVAILABLE
        return _tell(message, status, of=error)
    if isinstance(error, IngestError):
        return _tell(str(error), ExitStatus.UNUSABLE, of=error)
    if isinstance(error, OSError):
        _let_go_of_output()
        if isinstance(error, BrokenPipeError):
            return _tell("", ExitStatus.READER_GONE, of=error)
        return _tell(_fault_of(error), ExitStatus.UNUSABLE, of=error)
    if isinstance(error, UnicodeEncodeError):
        # Of an argument that was not UTF-8, or for a terminal that has fewer characters.
        told = f"{error.object[error.start : error.end]!r} cannot be written in {error.encoding}."
        return _tell(told, ExitStatus.UNUSABLE, of=error)
    return _tell_bug(error)


def _fault_of(error: OSError) -> str:
    # Not the file: what is written has another name until it is whole, which nobody has heard of.
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        folder = Path(error.filename).parent
        if not folder.exists():
            return f"There is no folder {folder}."
    return f"{error.filename or 'output'}: {error.strerror or error}."


def _tell_bug(error: Exception) -> int:
    what = f"{type(error).__name__}: {error}"[:_LONGEST_BUG]
    told = f"a fault of this program ({what}); python -X dev shows where."
    return _tell(told, ExitStatus.BUG, of=error)


def _tell(message: str, status: int, *, of: BaseException | None = None) -> int:
    """Write a message and the notes of its error, if there is anything to say."""
    words = " ".join([message, *getattr(of, "__notes__", ())]).split()
    # Where nobody can be told, the exit status still says it.
    with suppress(OSError, ValueError):
        if words:
            note(f"ingest: {' '.join(words)}")
    return status


def _sentence(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        told = error.format_message()
        end = "" if told.endswith((".", "?", "!", ")")) else "."
        return f"{told}{end} See: {error.ctx.command_path} --help"
    return error.format_message()


def _let_go_of_output() -> None:
    # What is still buffered would be written, in vain and with a traceback, when Python ends.
    if sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
