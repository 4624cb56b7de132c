# SPDX-License-Identifier: Apache-2.0
"""Whether a column is what the models have."""

import re

from nova_cellmap.db import engine
from nova_cellmap.db import schema_check
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base


@base.on_each_database
class Columns(base.TestCase):
    def run_sql(self, *statements: str) -> None:
        with engine.of().writer.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def test_a_column_that_is_not_what_it_was(self) -> None:
        for change, said in _COLUMNS[self.kind].items():
            self.useFixture(fixtures.Database(self.kind)).make_schema()
            self.assertEqual([], schema_check.missing())
            self.run_sql(*change.split(';'))
            problems = ' '.join(schema_check.missing())
            self.assertIn(said, problems)
            repairable = ('gives no numbers', 'The numbers of', '(ci)')
            if self.kind != 'sqlite' and any(each in said for each in repairable):
                self.run_sql(*re.findall('`([^`]*)`', problems))
                self.assertEqual([], schema_check.missing())


# What is done to a column, and what is then said of it.
_COLUMNS = {
    # Which changes a column by making the table again.
    'sqlite': {
        'DROP TABLE instance_mapping;'
        'CREATE TABLE instance_mapping (id INT NOT NULL PRIMARY KEY)': (
            'instance_mapping.id gives no numbers'
        ),
        'DROP TABLE instance_mapping;'
        'CREATE TABLE instance_mapping (id INTEGER PRIMARY KEY, project_id INT NOT NULL)': (
            'project_id is INTEGER, and should be VARCHAR(255)'
        ),
        'DROP TABLE instance_mapping;'
        'CREATE TABLE instance_mapping (id INTEGER PRIMARY KEY, user_id BLOB)': 'user_id is BLOB',
    },
    'mariadb': {
        'ALTER TABLE instance_mapping MODIFY id BIGINT NOT NULL': (
            'instance_mapping.id gives no numbers'
        ),
        'ALTER TABLE cell_mapping MODIFY id INT NOT NULL': 'cell_mapping.id gives no numbers',
        'ALTER TABLE instance_mapping MODIFY id INT NOT NULL AUTO_INCREMENT': (
            'instance_mapping.id is INTEGER, and should be BIGINT'
        ),
        'ALTER TABLE instance_mapping MODIFY project_id CHAR(255) NOT NULL': (
            'and should be VARCHAR(255)'
        ),
        'ALTER TABLE instance_mapping MODIFY user_id BIGINT': 'user_id is BIGINT',
        'ALTER TABLE instance_mapping MODIFY user_id VARBINARY(255)': 'user_id is VARBINARY(255)',
        'DROP INDEX uniq_cell_mapping0name ON cell_mapping;'
        'ALTER TABLE cell_mapping MODIFY name TEXT': 'cell_mapping.name is TEXT',
        'ALTER TABLE instance_mapping MODIFY user_id INET6': 'user_id is of another type',
        'ALTER TABLE cell_mapping MODIFY transport_url TINYTEXT NOT NULL': 'is TINYTEXT',
        'ALTER TABLE cell_mapping MODIFY transport_url VARCHAR(255) NOT NULL': (
            'cell_mapping.transport_url is VARCHAR(255)'
        ),
        'ALTER TABLE instance_mapping MODIFY created_at TIMESTAMP NULL': 'created_at is TIMESTAMP',
        'ALTER TABLE cell_mapping ALTER disabled DROP DEFAULT': (
            'cell_mapping.disabled is none, and should be 0'
        ),
        'ALTER TABLE cell_mapping ALTER disabled SET DEFAULT 1': 'disabled is 1',
        'ALTER TABLE cell_mapping ADD x INT NOT NULL': 'cell_mapping.x',
    },
    'postgresql': {
        'ALTER TABLE instance_mapping ALTER COLUMN id DROP DEFAULT': (
            'instance_mapping.id gives no numbers'
        ),
        'ALTER TABLE instance_mapping ALTER id SET DEFAULT 7': 'gives no numbers',
        'ALTER SEQUENCE instance_mapping_id_seq AS SMALLINT': (
            'The numbers of instance_mapping.id end at 32767'
        ),
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        'ALTER TABLE instance_mapping ALTER user_id TYPE VARCHAR(255) COLLATE ci': 'user_id (ci)',
        'ALTER TABLE cell_mapping DROP name;'
        'ALTER TABLE cell_mapping ADD name VARCHAR(255) GENERATED ALWAYS AS (uuid) STORED': (
            'cell_mapping.name is generated'
        ),
        'ALTER TABLE cell_mapping ALTER id DROP DEFAULT; DROP SEQUENCE cell_mapping_id_seq': (
            'cell_mapping.id gives no numbers'
        ),
        'ALTER TABLE instance_mapping ALTER project_id TYPE CHAR(255)': (
            'project_id is CHAR(255), and should be VARCHAR(255)'
        ),
        'ALTER TABLE instance_mapping ALTER user_id TYPE INT USING 1': 'user_id is INTEGER',
        'ALTER TABLE instance_mapping ALTER id TYPE INT': 'and should be BIGINT',
        'ALTER TABLE instance_mapping ALTER user_id TYPE BYTEA USING NULL': 'user_id is BYTEA',
        'ALTER TABLE instance_mapping ALTER created_at TYPE TIMESTAMPTZ': (
            'created_at is TIMESTAMP'
        ),
        'ALTER TABLE cell_mapping ALTER transport_url TYPE VARCHAR(99)': (
            'transport_url is VARCHAR(99)'
        ),
        'ALTER TABLE instance_mapping ALTER queued_for_delete SET DEFAULT true': (
            'queued_for_delete is true, and should be 0 or false'
        ),
        'ALTER TABLE cell_mapping ADD x INT NOT NULL': 'cell_mapping.x',
    },
}
