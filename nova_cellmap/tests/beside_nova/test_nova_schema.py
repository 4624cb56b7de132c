# SPDX-License-Identifier: Apache-2.0
"""The schema of Nova's that tests use is the one that Nova makes."""

from nova_cellmap.tests import base
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_schema
from nova_cellmap.tests.beside_nova import nova_manage


class TestNovaSchema(base.TestCase):
    def check(self, kind: str) -> None:
        created_with = nova_schema.CREATED_WITH[kind]
        database = self.useFixture(fixtures.Database(kind, created_with=created_with))
        nova_manage.sync(database.url)
        engine = fixtures.engine(database.url)
        self.addCleanup(engine.dispose)
        made = nova_schema.dump(engine)
        self.assertEqual(nova_schema.file(kind).read_text(), made)
        # What tests make of the file is the same again.
        copy = self.useFixture(fixtures.Database(kind, created_with=created_with))
        of_copy = fixtures.engine(copy.url)
        self.addCleanup(of_copy.dispose)
        nova_schema.make(of_copy)
        self.assertEqual(made, nova_schema.dump(of_copy))

    def test_sqlite(self) -> None:
        self.check('sqlite')

    def test_mariadb(self) -> None:
        self.check('mariadb')

    def test_postgresql(self) -> None:
        self.check('postgresql')
