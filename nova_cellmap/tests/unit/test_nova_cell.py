# SPDX-License-Identifier: Apache-2.0
"""Cell databases of Nova's shape."""

import fixtures
import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.tests import base


class NovaCell(base.TestCase):
    def cell(self, count: int = 0, **options: float) -> sa.Engine:
        folder = self.useFixture(fixtures.TempDir()).path
        engine = sa.create_engine(f'sqlite:///{folder}/cell', poolclass=sa.NullPool)
        nova_cell.create(engine)
        nova_cell.fill(engine, count, **options)  # type: ignore[arg-type]
        return engine

    def rows(self, engine: sa.Engine) -> list[sa.Row[tuple[object, ...]]]:
        with engine.connect() as connection:
            return list(connection.execute(sa.select(nova_cell.instances)).all())

    def test_the_same_numbers_give_the_same_cell(self) -> None:
        one, two, other = (self.cell(50, seed=seed) for seed in (1, 1, 2))
        self.assertEqual(self.rows(one), self.rows(two))
        self.assertNotEqual(self.rows(one), self.rows(other))

    def test_as_many_as_are_asked_for_and_each_once(self) -> None:
        rows = self.rows(self.cell(nova_cell.BATCH + 7))
        self.assertEqual(nova_cell.BATCH + 7, len({row.uuid for row in rows}))

    def test_the_shares_are_those_that_are_asked_for(self) -> None:
        rows = self.rows(self.cell(30, deleted=1.0, soft_deleted=0.0, hidden=1.0))
        # Nova's own sign of a deleted one is the row's id.
        self.assertEqual([row.id for row in rows], [row.deleted for row in rows])
        self.assertTrue(all(row.hidden and row.deleted_at for row in rows))
        rows = self.rows(self.cell(30, deleted=0.0, soft_deleted=1.0, projects=1))
        self.assertEqual({'soft-delete'}, {row.vm_state for row in rows})
        self.assertEqual({0}, {row.deleted for row in rows})
        self.assertEqual(1, len({row.project_id for row in rows}))

    def test_one_more_is_as_its_values_say(self) -> None:
        engine = self.cell()
        uuid = nova_cell.add(engine, project_id='mine', hidden=True)
        [row] = self.rows(engine)
        self.assertEqual(
            (uuid, 'mine', True, 0), (row.uuid, row.project_id, row.hidden, row.deleted)
        )
        self.assertEqual('active', row.vm_state)
