# SPDX-License-Identifier: Apache-2.0
"""Whether a database has what its version says."""

from nova_cellmap.db import engine
from nova_cellmap.db import schema_check
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base


@base.on_each_database
class Missing(base.TestCase):
    """What was done to a database behind its version's back."""

    def setUp(self) -> None:
        super().setUp()
        self.odd = self.useFixture(fixtures.Database(self.kind))
        self.odd.make_schema()

    def run_sql(self, statement: str) -> None:
        with engine.of().writer.begin() as connection:
            connection.exec_driver_sql(statement)

    def test_where_all_is_there(self) -> None:
        self.assertEqual([], schema_check.missing())

    def test_each_change_is_told(self) -> None:
        for change, name in _CHANGES[self.kind].items():
            self.run_sql(change)
            self.assertIn(name, ' '.join(schema_check.missing()))

    def test_what_is_to_be_run_makes_it_whole_again(self) -> None:
        of_table = ' ON instance_mapping' if self.kind == 'mariadb' else ''
        self.run_sql(f'DROP INDEX instance_mapping_project_id_id_idx{of_table}')
        [problem] = schema_check.missing()
        _, statement, _ = problem.split('`')
        self.run_sql(statement)
        self.assertEqual([], schema_check.missing())


# What is done to a database behind its version's back, and what is then said to be missing.
_CHANGES = {
    'sqlite': {
        'DROP INDEX instance_mapping_project_id_id_idx': 'instance_mapping_project_id_id_idx',
        'DROP TABLE instance_mapping': 'The table instance_mapping is missing',
    },
    'mariadb': {
        'DROP INDEX instance_mapping_project_id_id_idx ON instance_mapping': (
            'instance_mapping_project_id_id_idx'
        ),
        'ALTER TABLE instance_mapping DROP FOREIGN KEY instance_mapping_cell_uuid_fkey': (
            'instance_mapping_cell_uuid_fkey'
        ),
        'ALTER TABLE instance_mapping MODIFY project_id VARCHAR(255) NOT NULL'
        ' COLLATE utf8mb4_general_ci': 'project_id (utf8mb4_general_ci)',
        'ALTER TABLE instance_mapping MODIFY project_id VARCHAR(64) NOT NULL': '64 characters',
        'ALTER TABLE import_progress ENGINE=MyISAM': 'MyISAM',
        'ALTER TABLE instance_mapping DROP COLUMN user_id': 'instance_mapping.user_id',
        'DROP TABLE instance_mapping': 'The table instance_mapping is missing',
    },
    'postgresql': {
        'DROP INDEX uniq_cell_mapping0name': 'uniq_cell_mapping0name',
        'ALTER TABLE map_progress DROP CONSTRAINT map_progress_cell_uuid_fkey': (
            'map_progress_cell_uuid_fkey'
        ),
        'ALTER TABLE instance_mapping ALTER project_id TYPE VARCHAR(64)': '64 characters',
        'ALTER TABLE instance_mapping ALTER project_id DROP NOT NULL': 'project_id',
        'ALTER TABLE instance_mapping DROP COLUMN user_id': 'instance_mapping.user_id',
        'DROP TABLE instance_mapping': 'The table instance_mapping is missing',
    },
}


@base.on_each_database
class Texts(base.TestCase):
    def test_those_that_may_have_lost_characters_are_counted(self) -> None:
        for names in (('?', 'u'), ('p', 'a?'), ('??', '?'), ('p', 'u')):
            self.make_mapping(**dict(zip(('project_id', 'user_id'), names, strict=True)))
        # Release 0.1.0 lost them on MariaDB and MySQL alone.
        self.assertEqual(3 if self.kind == 'mariadb' else 0, schema_check.count_damaged())

    def test_an_encoding_that_has_all_characters(self) -> None:
        self.assertIsNone(schema_check.encoding())


class EncodingPostgresql(base.TestCase):
    kind = 'postgresql'

    def test_one_that_lacks_some_is_named(self) -> None:
        options = "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        self.useFixture(fixtures.Database(self.kind, created_with=options)).make_schema()
        self.assertEqual('LATIN1', schema_check.encoding())
