# SPDX-License-Identifier: Apache-2.0
"""Which instances Nova is moving to another cell."""

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import database
from nova_cellmap.cells.migrations import Migrations
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base


@base.on_each_database
class UnderWay(cells_base.TestCase):
    def moves_of(self, *uuids: str) -> dict[str, str]:
        with database.connect(self.cell) as reader:
            return Migrations(reader).moves_of(uuids)

    def add(self, status: str | None, **values: object) -> str:
        row = {'instance_uuid': base.new_uuid(), 'status': status, 'deleted': 0}
        with self.nova.begin() as connection:
            moved = {**row, 'cross_cell_move': True, **values}
            connection.execute(nova_cell.migrations.insert(), moved)
        return str(row['instance_uuid'])

    def test_those_that_are_not_at_their_end(self) -> None:
        moved = {self.add(status): status for status in ('finished', 'reverting', 'confirming')}
        unsaid = self.add(None)
        ended = [self.add(status) for status in ('confirmed', 'reverted', 'error', 'failed')]
        others = [self.add('migrating', cross_cell_move=flag) for flag in (False, None)]
        gone = self.add('migrating', deleted=1)
        found = self.moves_of(*moved, unsaid, *ended, *others, gone)
        self.assertEqual({**moved, unsaid: 'NULL'}, found)

    def test_a_release_that_has_no_such_moves(self) -> None:
        self.cell.database_connection = cells_base.url_of(self._old())
        self.assertEqual({}, self.moves_of(base.new_uuid()))

    def _old(self) -> sa.Engine:
        engine = self.new_database()
        with engine.begin() as connection:
            connection.execute(sa.text('CREATE TABLE migrations (id int, instance_uuid char(36))'))
        return engine

    def test_no_table(self) -> None:
        self.cell.database_connection = cells_base.url_of(self.new_database())
        self.assertRaises(exception.NotACellDatabase, self.moves_of, base.new_uuid())
