"""Put a backup in the database's place."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ingest_app.clock import Clock
from ingest_app.errors import MaintenanceRefused
from ingest_app.maintenance.carrying import Replaced, carry_over, read_replaced
from ingest_app.maintenance.copying import (
    check_is_ours,
    copy_database,
    make_standalone,
    migrate_copy,
    opened,
)
from ingest_app.maintenance.holding import held
from ingest_app.maintenance.naming import speaking_of
from ingest_app.maintenance.partial import SIDE_FILES, Partial, beside, name_too
from ingest_app.queue.ending import mend_ends
from ingest_app.sqlite import is_damage, translate
from ingest_app.verifying import Finding, verify
from ingest_app.verifying.findings import DAMAGED, ORPHANED


@dataclass(frozen=True)
class Restored:
    """What was done.

    kept: the database that was there, under its new name; None when there was none.
    was_read: False when nothing could be carried over, since there was none or it is damaged.
    findings: what in it speaks against the promises.
    """

    kept: Path | None
    was_read: bool
    findings: Sequence[Finding] = ()


def restore(
    file: Path,
    database: Path,
    source_names: Collection[str],
    *,
    clock: Clock,
    despite_findings: bool = False,
) -> Restored:
    """Verify a backup and put a copy of it in the place of a database that nobody has open.

    The file is migrated where it is older, its sources wait a whole interval from now, and what the
    replaced database knew of them, of keys and of ids given away is carried over. Raises
    MaintenanceRefused, MigrationError, DatabaseError and OSError; then the database that was there
    is as it was.
    source_names: those of the settings. despite_findings: do it also where its history speaks
        against a promise; what is damaged is refused all the same.
    """
    database = database.resolve()
    if database.exists() and file.exists() and file.samefile(database):
        raise MaintenanceRefused(f"{file} is the database itself.")
    database.parent.mkdir(parents=True, exist_ok=True)
    with beside(database) as partial:
        with speaking_of(file, partial):
            copy_database(file, partial.path)
            findings = _check(partial.path, file, clock)
        _refuse(file, findings, despite_findings=despite_findings)
        with _replaced(database) as (is_there, replaced):
            known = replaced or Replaced()
            with opened(partial.path) as copy, copy.write() as connection:
                carry_over(connection, known, source_names, clock.read())
            make_standalone(partial.path)
            kept = _free_name(database, clock.read().at) if is_there else None
            _put_in_place(partial, kept)
    return Restored(kept, was_read=replaced is not None, findings=findings)


def _check(copy: Path, file: Path, clock: Clock) -> Sequence[Finding]:
    with opened(copy, is_to_be_written=False) as database:
        check_is_ours(database, file)
    migrate_copy(copy)
    with opened(copy) as database:
        # A person may have edited the original just before the backup.
        mend_ends(database, clock=clock)
    with opened(copy, is_to_be_written=False) as database:
        return verify(database).findings


def _refuse(file: Path, findings: Sequence[Finding], *, despite_findings: bool) -> None:
    if not findings:
        return
    broken = [finding for finding in findings if finding.what in (DAMAGED, ORPHANED)]
    first = (broken or findings)[0]
    says = (
        f"{file} does not verify, `ingest verify` has {len(findings)} findings:"
        f" {first.what} ({first.where})"
    )
    if broken:
        raise MaintenanceRefused(says)
    if not despite_findings:
        raise MaintenanceRefused(f"{says} --despite-findings restores it all the same.")


@contextmanager
def _replaced(database: Path) -> Iterator[tuple[bool, Replaced | None]]:
    """Whether a database is there, which nobody has open meanwhile, and what it knows."""
    if not database.exists():
        yield False, None
        return
    with held(database) as driver:
        yield True, None if driver is None else _read(driver)


def _read(driver: Any) -> Replaced | None:
    try:
        return read_replaced(driver)
    except Exception as error:
        if is_damage(error):
            return None
        kind = translate(error)
        if kind is None:
            raise
        raise kind(f"What the database knows cannot be read: {error}.") from error


def _put_in_place(partial: Partial, kept: Path | None) -> None:
    """Keep the database that is there under another name, and give its name to the copy."""
    database = partial.place
    if kept is None:
        _own_as_folder(partial.path)
        _take_away_side_files(database, database.with_name(f"{database.name}.orphaned"))
        partial.put_in_place(may_replace=False)
        return
    own_like(partial.path, database)
    with _keeping(database, kept):
        partial.put_in_place(may_replace=True)


@contextmanager
def _keeping(database: Path, kept: Path) -> Iterator[None]:
    """Have the database under this name, too; under its own alone if nothing takes its place."""
    before = database.stat()
    # With a link there is a whole database under the name at every instant.
    name_too(database, kept)
    try:
        # Of what is beside it, nothing stays: SQLite would take it for the new one's.
        _take_away_side_files(database, kept)
        yield
    except BaseException:
        if not database.exists() or os.path.samestat(database.stat(), before):
            _put_back(database, kept)
        raise


def _put_back(database: Path, kept: Path) -> None:
    _take_away_side_files(kept, database)
    if database.exists():
        kept.unlink()
    else:
        kept.rename(database)


def _own_as_folder(path: Path) -> None:
    """Root restores for a service that is another user: whose folder it is."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)


def _free_name(database: Path, now: datetime) -> Path:
    name = f"{database.name}.replaced-{now:%Y%m%dT%H%M%SZ}"
    kept, count = database.with_name(name), 1
    while kept.exists():
        count += 1
        kept = database.with_name(f"{name}-{count}")
    return kept


def own_like(path: Path, other: Path) -> None:
    """Give a file the owner and the rights of another (PermissionError)."""
    found, mine = other.stat(), path.stat()
    if (found.st_uid, found.st_gid) != (mine.st_uid, mine.st_gid):
        os.chown(path, found.st_uid, found.st_gid)
    path.chmod(stat.S_IMODE(found.st_mode))


def _take_away_side_files(database: Path, kept: Path) -> None:
    for end in SIDE_FILES:
        with suppress(FileNotFoundError):
            database.with_name(database.name + end).replace(kept.with_name(kept.name + end))
