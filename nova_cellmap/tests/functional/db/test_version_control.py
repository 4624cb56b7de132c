# SPDX-License-Identifier: Apache-2.0
"""Version control, on today's SQLAlchemy."""

import subprocess
import sys
import textwrap
from typing import Any

import sqlalchemy as sa

from nova_cellmap.db import migrate_repo
from nova_cellmap.db import migration
from nova_cellmap.db import version_control
from nova_cellmap.tests import base
from nova_cellmap.tests import fixtures

LATEST = migration.latest_version()


class _Versions(base.TestCase):
    """The table of versions."""

    kind: str
    server: str | None = None

    def setUp(self) -> None:
        super().setUp()
        self.database = self.useFixture(fixtures.Database(self.kind, self.server))
        self.engine: sa.Engine = self.database.engine()

    def sync(self, version: int | None = None) -> None:
        migration.db_sync(version, self.engine)

    def version(self) -> int:
        return migration.db_version(self.engine)

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def versions(self) -> list[dict[str, Any]]:
        query = 'SELECT * FROM migrate_version ORDER BY repository_id'
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql(query).mappings()]

    def test_version_table_of_several_repositories(self) -> None:
        self.sync(2)
        self.execute("INSERT INTO migrate_version VALUES ('other', '/', 99)")
        self.sync()
        self.assertEqual(LATEST, self.version())
        versions = {row['repository_id']: row['version'] for row in self.versions()}
        self.assertEqual({'nova_cellmap': LATEST, 'other': 99}, versions)

    def test_version_table_is_the_librarys(self) -> None:
        self.sync(2)
        repository = version_control.open_repository(migrate_repo)
        [row] = self.versions()
        self.assertEqual(
            {'repository_id': repository.id, 'repository_path': repository.path, 'version': 2},
            row,
        )
        schema = version_control.ControlledSchema(self.engine, repository)
        # The library's own methods, on top of ours.
        schema.upgrade()
        self.assertEqual(LATEST, schema.version)
        self.assertEqual(LATEST, self.version())
        schema.drop()
        self.assertFalse(sa.inspect(self.engine).has_table('migrate_version'))

    def test_it_is_made_once(self) -> None:
        repository = version_control.open_repository(migrate_repo)
        self.assertIsNone(version_control.versions(self.engine, repository))
        for _ in range(2):
            table = version_control.make_version_table(self.engine, repository)
            self.assertEqual('migrate_version', table.name)
            self.assertEqual({}, version_control.versions(self.engine, repository))

    def test_what_it_says_is_told_as_it_is(self) -> None:
        repository = version_control.open_repository(migrate_repo)
        version_control.make_version_table(self.engine, repository)
        for statement in (
            "INSERT INTO migrate_version VALUES ('nova_cellmap', '/', 3)",
            "INSERT INTO migrate_version VALUES ('other', '/', NULL)",
        ):
            self.execute(statement)
        expected = {'nova_cellmap': 3, 'other': None}
        self.assertEqual(expected, version_control.versions(self.engine, repository))

    def test_somebody_elses_of_the_same_name_is_none(self) -> None:
        self.execute('CREATE TABLE migrate_version (id INT)')
        repository = version_control.open_repository(migrate_repo)
        self.assertIsNone(version_control.versions(self.engine, repository))


class VersionsSqlite(_Versions):
    kind = 'sqlite'


class VersionsMariadb(_Versions):
    kind = 'mariadb'


class VersionsPostgresql(_Versions):
    kind = 'postgresql'


class VersionsPgbouncer(_Versions):
    kind = 'postgresql'
    server = 'pgbouncer'


del _Versions


class Library(base.TestCase):
    """sqlalchemy-migrate's own half that is used."""

    def test_library_reads_the_repository(self) -> None:
        from migrate.versioning import repository

        library = repository.Repository(migrate_repo.__path__[0])
        self.assertEqual('nova_cellmap', library.id)
        self.assertEqual('migrate_version', library.version_table)
        self.assertEqual(LATEST, library.latest)

    def test_a_process_of_its_own(self) -> None:
        """Importing leaves SQLAlchemy and the import system alone, and is quiet."""
        script = """
            import sys
            import sqlalchemy as sa
            classes = (sa.Table, sa.Column, sa.Index, sa.MetaData, sa.Constraint)
            before = [(c.__bases__, dict(vars(c))) for c in classes]
            from nova_cellmap.db import version_control
            assert before == [(c.__bases__, dict(vars(c))) for c in classes]
            assert not [name for name in sys.modules if name.startswith('migrate.changeset')]
            import migrate.versioning.api
        """
        flags = ['-W', 'error', '-W', 'default::DeprecationWarning:eventlet']
        command = [sys.executable, *flags, '-c', textwrap.dedent(script)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
