# SPDX-License-Identifier: Apache-2.0
"""sqlalchemy-migrate's version control on today's SQLAlchemy.

The library's last release knows SQLAlchemy 1.x. Half of it, ``migrate.changeset``,
patches SQLAlchemy's own classes and cannot be imported any more; the other half,
version control, needs nothing of it but to have been imported. So it is imported
with empty modules in that half's place, which are gone again afterwards:
SQLAlchemy stays as it is for everything else in the process.

What version control asks of SQLAlchemy, a handful of statements on the
``migrate_version`` table, is written anew here. The table stays the library's own.
Nothing else in nova_cellmap knows of the library.
"""

from collections.abc import Iterator
import contextlib
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
    stand_in = types.ModuleType(name, 'Stands in for a module that cannot be imported.')
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
        # It imports pkg_resources, and loads scripts with load_module().
        warnings.filterwarnings('ignore', message='.*pkg_resources')
        warnings.filterwarnings('ignore', message='.*load_module')
        yield


with _without_changeset(), _without_known_warnings():
    from migrate import exceptions as migrate_exceptions
    from migrate.versioning import repository as migrate_repository
    from migrate.versioning import schema as migrate_schema


Repository = migrate_repository.Repository


class ControlledSchema(migrate_schema.ControlledSchema):  # type: ignore[misc]
    """A database under version control; the library's class, written for SQLAlchemy 2."""

    version: int

    def __init__(self, engine: sa.Engine, repository: Any) -> None:
        self.engine = engine
        self.repository = repository
        self.table = _version_table(repository)
        self.load()

    @classmethod
    def find(cls, engine: sa.Engine, repository: Any) -> 'ControlledSchema | None':
        """The schema, or None where the database is not under the repository's control."""
        if not _has_version_table(engine, repository):
            return None
        try:
            return cls(engine, repository)
        except migrate_exceptions.DatabaseNotControlledError:
            return None

    @classmethod
    def find_or_create(cls, engine: sa.Engine, repository: Any) -> 'ControlledSchema':
        schema = cls.find(engine, repository)
        if schema is None:
            schema = cls.create(engine, repository)
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
        with _without_known_warnings():
            script.module  # noqa: B018 - loads it
        return script

    @classmethod
    def _create_table_version(cls, engine: sa.Engine, repository: Any, version: int) -> sa.Table:
        # A process may have been killed between the table and the row in it.
        table = _version_table(repository)
        table.create(engine, checkfirst=True)
        row = sa.insert(table).values(
            repository_id=repository.id, repository_path=repository.path, version=int(version)
        )
        with engine.begin() as connection:
            connection.execute(row)
        return table


def is_empty(engine: sa.Engine, repository: Any) -> bool:
    """Whether the version table stands there without a row of anybody."""
    if not _has_version_table(engine, repository):
        return False
    with engine.connect() as connection:
        return connection.execute(sa.select(_version_table(repository))).first() is None


def _version_table(repository: Any) -> sa.Table:
    return sa.Table(
        repository.version_table,
        sa.MetaData(),
        sa.Column('repository_id', sa.String(250), primary_key=True),
        sa.Column('repository_path', sa.Text),
        sa.Column('version', sa.Integer),
    )


def _has_version_table(engine: sa.Engine, repository: Any) -> bool:
    """Whether there is one, and it is not somebody else's table of the same name."""
    wanted = _version_table(repository)
    inspector = sa.inspect(engine)
    if not inspector.has_table(wanted.name):
        return False
    columns = {column['name'] for column in inspector.get_columns(wanted.name)}
    return columns.issuperset(wanted.columns.keys())
