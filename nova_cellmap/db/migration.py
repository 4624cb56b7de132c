# SPDX-License-Identifier: Apache-2.0
"""Bring the mapping database's schema to a version, and tell which version it has.

The schema's history is in ``migrate_repo``, one script a version, and only goes
forward. Any number of processes may sync one database at once, and one that was killed
is finished by the next.
"""

from collections.abc import Iterator
import contextlib
import logging
import pathlib
import re

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap import text
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import errors
from nova_cellmap.db import lease
from nova_cellmap.db import migrate_repo
from nova_cellmap.db import migration_lock
from nova_cellmap.db import session
from nova_cellmap.db import version_control

LOG = logging.getLogger(__name__)

_REPOSITORY = version_control.open_repository(migrate_repo)
_NOVA_TABLES = {'alembic_version', 'instance_mappings'}


def db_sync(version: int | str | None = None, engine: sa.Engine | None = None) -> None:
    """Bring the schema to the version, or to the latest one.

    :param version: a version of the schema's history that the database has not passed
    :param engine: the database; that of ``[api_database] connection`` by default
    :raises: :exc:`nova_cellmap.exception.InvalidVersion`,
        :exc:`nova_cellmap.exception.DatabaseNotOurs`,
        :exc:`nova_cellmap.exception.DatabaseUnreachable`, and
        :exc:`nova_cellmap.exception.MigrationError` for a script that failed
    """
    target = _target(version)
    if engine is None and runtime.default().conf.api_database.schema == 'nova':
        raise _novas('[api_database] schema = nova')
    engine = _connect(engine)
    with _errors_translated():
        # Before a lock file is laid beside somebody else's database.
        _version(engine)
        with migration_lock.held(engine, _REPOSITORY, _patience(engine)) as locked_engine:
            _upgrade(locked_engine, target)


def db_version(engine: sa.Engine | None = None) -> int:
    """The version of the database's schema; that of an empty database is 0.

    :param engine: the database; that of ``[api_database] connection`` by default
    :raises: :exc:`nova_cellmap.exception.DatabaseNotOurs`,
        :exc:`nova_cellmap.exception.DatabaseUnreachable`, and
        :exc:`nova_cellmap.exception.MigrationError` where what it says is no version
    """
    if engine is None and db_engine.of().is_missing_file:
        # To look would make it.
        return 0
    engine = _connect(engine)
    with _errors_translated():
        return _version(engine)


def latest_version() -> int:
    """The version that this release works with: the last one of the schema's history."""
    return int(_REPOSITORY.latest)


def _target(version: int | str | None) -> int:
    """What was asked for, as a number that some database could be brought to."""
    latest = latest_version()
    if version is None:
        return latest
    # int() takes more for a number: True, ' 7', '1_0', and the digits of every script.
    digits = str(version)
    if not re.fullmatch('[0-9]{1,9}', digits) or int(digits) > latest:
        raise exception.InvalidVersion(
            version=repr(version),
            reason=f'it is not a whole number from 0 to {latest}, the latest version.',
        )
    return int(digits)


def _connect(engine: sa.Engine | None) -> sa.Engine:
    try:
        engine = engine or db_engine.of().writer
        with errors.connect(engine):
            return engine
    except errors.DRIVER as error:
        raise exception.DatabaseUnreachable(reason=errors.reason(error)) from errors.without_rows(
            error
        )


def _version(engine: sa.Engine) -> int:
    # In this order: tables that another process makes meanwhile come after its row.
    names = _tables_and_views(engine)
    versions = version_control.versions(engine, _REPOSITORY)
    if versions is not None and _REPOSITORY.id in versions:
        return _checked(versions[_REPOSITORY.id])
    if versions is not None and versions.keys() <= set(lease.names(_REPOSITORY.id)):
        # A process has put no row of ours in yet, or was killed before.
        names.discard(_REPOSITORY.version_table)
    if names:
        raise _not_ours(names)
    return 0


def _checked(version: object) -> int:
    # SQLite keeps any text in a column of numbers, and every database NULL.
    if isinstance(version, int) and version >= 0:
        return version
    table = _REPOSITORY.version_table
    said = 'NULL' if version is None else text.shown(version)
    raise exception.MigrationError(
        f'The table {table} gives {said} as the version of the schema, which is '
        f'no number from 0: restore it from a backup, or set {table}.version, where repository_id '
        f"is '{_REPOSITORY.id}', to the version that the schema has."
    )


def _patience(engine: sa.Engine) -> float:
    """For how many seconds the server may work on one statement, by how much is there."""
    read_timeout = session.read_timeout_of(engine.url, db_engine.of().read_timeout)
    if engine.dialect.name == 'sqlite':
        return read_timeout
    query = _BYTES['postgresql' if engine.dialect.name == 'postgresql' else 'mysql']
    with errors.connect(engine) as connection:
        size = int(connection.exec_driver_sql(query).scalar() or 0)
    return read_timeout + size / _SLOWEST


# Bytes a second: a server that rewrites a table at less has stopped.
_SLOWEST = 1_000_000
_BYTES = {
    'mysql': (
        'SELECT SUM(data_length + index_length) FROM information_schema.tables'
        ' WHERE table_schema = DATABASE()'
    ),
    'postgresql': (
        'SELECT SUM(pg_total_relation_size(oid)) FROM pg_class'
        " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    ),
}


def _tables_and_views(engine: sa.Engine) -> set[str]:
    inspector = sa.inspect(engine)
    return {*inspector.get_table_names(), *inspector.get_view_names()}


def _not_ours(names: set[str]) -> exception.DatabaseNotOurs:
    tables = ', '.join(sorted(names)[:5]) + (', ...' if len(names) > 5 else '')
    if names.issuperset(_NOVA_TABLES):
        return _novas(tables)
    return exception.DatabaseNotOurs(tables=tables)


def _novas(tables: str) -> exception.DatabaseNotOurs:
    return exception.DatabaseNotOurs(
        f"This is Nova's own API database ({tables}): nothing was changed. nova_cellmap works on "
        'its tables as they are; `nova-manage api_db sync` alone makes and changes them. For a '
        'mapping database of its own set another [api_database] connection; '
        "`nova-cellmap-manage cell_v2 import_nova` copies Nova's cells and mappings there.",
        tables=tables,
    )


def _upgrade(engine: sa.Engine, target: int) -> None:
    # Read again: another process may have held the lock until now.
    current = _version(engine)
    if current > latest_version():
        raise exception.MigrationError(
            reason=f'the database is at version {current}, which a newer release made; '
            f'this one knows versions up to {latest_version()}.'
        )
    if target < current:
        raise exception.InvalidVersion(
            version=target,
            reason=f'the database is at version {current}, and the schema only goes forward.',
        )
    schema = version_control.ControlledSchema.load_or_create(engine, _REPOSITORY)
    while schema.version < target:
        _run_next_script(schema)


def _run_next_script(schema: version_control.ControlledSchema) -> None:
    before = schema.version
    script = schema.next_script()
    name = pathlib.Path(script.path).stem
    try:
        schema.runchange(before, script, 1)
    except errors.DRIVER as error:
        raise exception.MigrationError(
            reason=f'script {name} failed: {errors.reason(error)}. Once that is corrected, '
            '`nova-cellmap-manage db sync` continues with this script.'
        ) from errors.without_rows(error)
    LOG.info('%s -> %s %s', before, schema.version, name)


@contextlib.contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except db_exc.DBConnectionError as error:
        raise exception.DatabaseUnreachable(reason=errors.reason(error)) from errors.without_rows(
            error
        )
    except errors.DRIVER as error:
        raise exception.MigrationError(reason=errors.reason(error)) from errors.without_rows(error)
