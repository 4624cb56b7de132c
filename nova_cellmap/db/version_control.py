# SPDX-License-Identifier: Apache-2.0
"""sqlalchemy-migrate's version control on today's SQLAlchemy.

The library's last release knows SQLAlchemy 1.x. Half of it, ``migrate.changeset``,
patches SQLAlchemy's own classes and cannot be imported any more; the other half,
version control, needs nothing of it but to have been imported. So it is imported
with empty modules in that half's place, which are gone again afterwards:
SQLAlchemy stays as it is for everything else in the process.

What version control asks of SQLAlchemy, a handful of statements on the
``migrate_version`` table, is written again here. The table stays the library's own.
Nothing else in nova_cellmap knows of the library.
"""

from collections.abc import Iterator
import contextlib
import importlib
import pathlib
import sys
import types
from typing import Any
import warnings

import sqlalchemy as sa


@contextlib.contextmanager
def _without_changeset() -> Iterator[None]:
    """Let sqlalchemy-migrate be imported, but not the half of it that patches SQLAlchemy."""
    name = 'migrate.changeset'
    already_there = sys.modules.get(name)
    stand_in = types.ModuleType(name, 'In the place of a module that cannot be imported.')
    stand_in.SQLA_07 = True  # type: ignore[attr-defined]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]
        if already_there is not None:
            sys.modules[name] = already_there


@contextlib.contextmanager
def _without_known_warnings() -> Iterator[None]:
    """Keep quiet about what is old in sqlalchemy-migrate: there will be no newer one."""
    with warnings.catch_warnings():
        # Its string literals, where they are compiled for the first time.
        warnings.filterwarnings('ignore', message='.*invalid escape sequence')
        # What it imports, and what that does in turn.
        warnings.filterwarnings('ignore', message='.*pkg_resources')
        yield


with _without_changeset(), _without_known_warnings():
    from migrate import exceptions as migrate_exceptions
    from migrate.versioning import repository as migrate_repository
    from migrate.versioning import schema as migrate_schema


def open_repository(package: types.ModuleType) -> Any:
    """The library's ``Repository`` of a package that holds ``migrate.cfg`` and ``versions``.

    Not for two threads at once: the library hands out what it has not read to the end yet.
    """
    [path] = package.__path__
    repository = migrate_repository.Repository(path)
    repository.package = package.__name__
    return repository


class ControlledSchema(migrate_schema.ControlledSchema):  # type: ignore[misc]
    """A database under version control; the library's class, written for SQLAlchemy 2."""

    version: int

    def __init__(self, engine: sa.Engine, repository: Any) -> None:
        self.engine = engine
        self.repository = repository
        self.table = _version_table(repository)
        if not sa.inspect(engine).has_table(self.table.name):
            raise migrate_exceptions.DatabaseNotControlledError(repository.id)
        self.load()

    @classmethod
    def load_or_create(cls, engine: sa.Engine, repository: Any) -> 'ControlledSchema':
        try:
            return cls(engine, repository)
        except migrate_exceptions.DatabaseNotControlledError:
            schema: ControlledSchema = cls.create(engine, repository)
            return schema

    def load(self) -> sa.Row[Any]:
        mine = self.table.c.repository_id == str(self.repository.id)
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(self.table).where(mine)).one_or_none()
        if row is None:
            raise migrate_exceptions.DatabaseNotControlledError(self.repository.id)
        self.version = row.version
        return row

    def drop(self) -> None:
        self.table.drop(self.engine)

    def update_repository_table(self, startver: int, endver: int) -> None:
        update = (
            sa.update(self.table)
            .where(
                self.table.c.repository_id == str(self.repository.id),
                self.table.c.version == int(startver),
            )
            .values(version=int(endver))
        )
        with self.engine.begin() as connection:
            connection.execute(update)

    def next_script(self) -> Any:
        """The script that leads to the version after this one."""
        script = self.repository.version(self.version + 1).script()
        name = f'{self.repository.package}.versions.{pathlib.Path(script.path).stem}'
        # The library would load it by a method that Python drops, as a top-level module.
        script._module = importlib.import_module(name)
        return script

    @classmethod
    def _create_table_version(cls, engine: sa.Engine, repository: Any, version: int) -> sa.Table:
        # A process may have been killed between the table and the row in it.
        table = make_version_table(engine, repository)
        row = sa.insert(table).values(
            repository_id=repository.id, repository_path=repository.path, version=int(version)
        )
        with engine.begin() as connection:
            connection.execute(row)
        return table


def make_version_table(engine: sa.Engine, repository: Any) -> sa.Table:
    """The version table, which is there then, also where another process makes it meanwhile."""
    table = _version_table(repository)
    try:
        table.create(engine, checkfirst=True)
    except Exception:
        # Where two make it, servers differ in what they say to the second.
        if not sa.inspect(engine).has_table(table.name):
            raise
    return table


def versions(engine: sa.Engine, repository: Any) -> dict[str, object] | None:
    """What the version table says, by the repositories' ids; None where there is none.

    Numbers, but for a table that was written to by hand.
    """
    table = _version_table(repository)
    inspector = sa.inspect(engine)
    if not inspector.has_table(table.name):
        return None
    columns = {column['name'] for column in inspector.get_columns(table.name)}
    if not columns.issuperset(table.columns.keys()):
        # Somebody else's, of the same name.
        return None
    with engine.connect() as connection:
        return {row.repository_id: row.version for row in connection.execute(sa.select(table))}


def _version_table(repository: Any) -> sa.Table:
    return sa.Table(
        repository.version_table,
        sa.MetaData(),
        sa.Column('repository_id', sa.String(250), primary_key=True),
        sa.Column('repository_path', sa.Text),
        sa.Column('version', sa.Integer),
        **_MYSQL_OPTIONS,
    )


# What a server's defaults would decide otherwise.
_MYSQL_OPTIONS: dict[str, Any] = {
    f'{dialect}_{option}': value
    for dialect in ('mysql', 'mariadb')
    for option, value in {
        'engine': 'InnoDB',
        'charset': 'utf8mb4',
        'collate': 'utf8mb4_bin',
        'row_format': 'DYNAMIC',
    }.items()
}
