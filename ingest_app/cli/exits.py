"""What the exit status says."""

from __future__ import annotations

import enum

import click


class ExitStatus(enum.IntEnum):
    """How a command ended; 0 is success."""

    DONE = 0
    WORK_FAILED = 1  # what was watched has failed, or `verify` found something
    UNUSABLE = 2  # wrong usage, or a file, setting or database that cannot be used
    REFUSED = 3  # the service said no (4xx), and would again
    UNAVAILABLE = 4  # the service did not answer, or was unable to (5xx, 429)
    CANCELLED = 5  # what was watched was cancelled
    BUG = 70  # as EX_SOFTWARE in sysexits.h
    INTERRUPTED = 130  # as shells say it of a process that Ctrl-C ended; also SIGTERM, SIGHUP
    READER_GONE = 141  # as they say it of one that SIGPIPE ended


EXIT_TABLE = """\b
Exit status:
  0    done
  1    the work has failed, or verify found something
  2    wrong usage, or a file, setting or database that cannot be used
  3    the service refused it (4xx)
  4    the service cannot be reached or is unavailable (no answer, 5xx, 429)
  5    the work was cancelled
  70   a fault of this program
  130  interrupted by Ctrl-C, SIGTERM or SIGHUP
  141  the reader of the output went away"""


class Unusable(click.ClickException):
    """What the command was given cannot be used."""

    exit_code = ExitStatus.UNUSABLE


class Interrupted(click.ClickException):
    """Ctrl-C, and what it means for the work."""

    exit_code = ExitStatus.INTERRUPTED
