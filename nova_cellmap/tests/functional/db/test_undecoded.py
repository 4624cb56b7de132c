# SPDX-License-Identifier: Apache-2.0
"""Rows whose text is not in the encoding that its database says it is in."""

from typing import Any

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap.db import engine
from nova_cellmap.db import errors
from nova_cellmap.db import undecoded
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base

_TEXT = 'prójéct 日本 😀'
# Text that is in no encoding that knows of one.
_ODD = {
    'sqlite': "CAST(x'66e9' AS TEXT)",
    'mariadb': "CAST(x'66e9' AS BINARY)",
    'postgresql': "convert_from(decode('66e9', 'hex'), 'SQL_ASCII')",
}


@base.on_each_database
class Rows(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if self.kind == 'postgresql':
            # Others keep no such text.
            options = "ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
            database = fixtures.Database(self.kind, created_with=options)
            nova_cellmap.configure(self.useFixture(database).conf())

    def query(self, text: str) -> sa.Select[Any]:
        number: Any = sa.literal_column('7')
        return sa.select(
            sa.literal_column(text).label('a'), number.label('b'), sa.null().label('c')
        )

    def test_what_can_be_read_is_as_ever(self) -> None:
        with engine.of().writer.connect() as connection:
            found = undecoded.rows(connection, self.query(f"'{_TEXT}'"))
        self.assertEqual([(_TEXT, 7, None)], found)

    def test_what_cannot_has_surrogates(self) -> None:
        with engine.of().writer.connect() as connection:
            found = undecoded.rows(connection, self.query(_ODD[self.kind]))
        self.assertEqual([('f\udce9', 7, None)], found)

    def test_afterwards_a_connection_is_as_it_was(self) -> None:
        with engine.of().writer.connect() as connection:
            undecoded.rows(connection, self.query(_ODD[self.kind]))
            self.assertRaises(errors.DRIVER, undecoded.rows, connection, self.query('nosuch'))
            connection.rollback()
            found = connection.execute(self.query(f"'{_TEXT}'")).all()
        self.assertEqual([(_TEXT, 7, None)], found)
