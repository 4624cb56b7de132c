# SPDX-License-Identifier: Apache-2.0
"""Whether the mapping and the cells have drifted apart, by a sample of the instances."""

import datetime

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import base as upkeep_base
from nova_cellmap.upkeep import drift
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.drift import Drift


class _Case(upkeep_base.TestCase):
    def look(self, min_age: int = 0, **unread: exception.CellError) -> Drift:
        cells = CellMappingList.get_all(self.context)
        by_name = {cell.name: cell.uuid for cell in cells}
        return drift.look(
            self.context,
            cells,
            unread={by_name[name]: error for name, error in unread.items()},
            patience=Patience(datetime.timedelta(seconds=min_age)),
        )


@base.on_both_schemas
class Looked(_Case):
    def test_nothing_is_correct(self) -> None:
        self.assertEqual(Drift(0, {}), self.look())

    def test_of_a_small_cloud_all_is_looked_at_once(self) -> None:
        self.add(7, queued_for_delete=False)
        self.assertEqual(Drift(7, {}), self.look())

    def test_each_kind_is_counted(self) -> None:
        self.break_()
        found = self.look()
        kinds = {'missing': 3, 'no_cell': 2, 'orphaned': 3, 'duplicate': 1}
        self.assertEqual(kinds, found.kinds)
        self.assertEqual(9, found.problems)

    def test_what_changed_a_moment_ago_is_not(self) -> None:
        self.make_mapping(cell_uuid=self.cell.uuid)
        self.assertEqual({}, self.look(min_age=900).kinds)
        self.assertEqual({'orphaned': 1}, self.look().kinds)

    def test_of_a_cell_that_is_not_read_nothing_is_said(self) -> None:
        other, _ = self.new_cell('cell2')
        self.make_mapping(cell_uuid=other.uuid)
        self.add(1)
        lost = exception.CellUnreachable(cell='cell2', reason='it is down')
        self.assertEqual({'missing': 1}, self.look(cell2=lost).kinds)
        self.assertEqual({'missing': 1, 'orphaned': 1}, self.look().kinds)

    def test_nothing_is_written(self) -> None:
        self.break_()
        before = db_api.instance_mapping_scan(self.context, '', 100)
        self.look()
        self.assertEqual(before, db_api.instance_mapping_scan(self.context, '', 100))


@base.on_each_database
class Sampled(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.patch(drift, 'SIZE', 10)

    def test_a_part_of_a_large_cloud_is_looked_at(self) -> None:
        self.add(300)
        found = self.look()
        # Five places, of which some may be beside each other, and a page too many at most.
        self.assertGreaterEqual(found.instances, 10)
        self.assertLessEqual(found.instances, 5 * 2 * 10)
        self.assertEqual({'missing': found.instances}, found.kinds)

    def test_places_are_others_each_time(self) -> None:
        self.add(300)
        self.assertGreater(len({self.look().instances for _ in range(10)}), 1)

    def test_rows_without_an_order_do_not_keep_it_for_ever(self) -> None:
        uuids = self.add(250)
        instances = sa.Table('instances', sa.MetaData(), autoload_with=self.nova)
        with self.nova.begin() as connection:
            for uuid in uuids:
                connection.execute(
                    instances.update()
                    .where(instances.c.uuid == uuid)
                    .values(uuid=uuid.replace('-', ''))
                )
        found = self.look()
        self.assertEqual({'missing': found.instances}, found.kinds)
        self.assertLess(found.instances, 250)
