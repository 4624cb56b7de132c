# SPDX-License-Identifier: Apache-2.0
"""Many mappings at once, and resume points."""

import datetime

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Bulk(case.Case):
    def test_created_existing_and_conflicting_are_told_apart(self) -> None:
        one, two = self.cell(), self.cell()
        same = self.map(cell_uuid=one, project_id='untouched')
        other = self.map(cell_uuid=two)
        none = self.map()
        new = base.new_uuid()
        result = api.instance_mapping_create_bulk(
            self.context,
            [self.values(instance_uuid=uuid, cell_uuid=one) for uuid in (same, other, none, new)],
        )
        self.assertEqual(
            {'created': 1, 'existing': 1, 'conflicts': {other: two, none: None}}, result
        )
        self.assertEqual([same, new], self.uuids(self.all(cell_uuid=one)))
        self.assertEqual('untouched', self.all(cell_uuid=one)[0]['project_id'])

    def test_it_takes_more_than_fits_one_statement(self) -> None:
        rows = [self.values() for _ in range(5001)]
        result = api.instance_mapping_create_bulk(self.context, iter(rows), with_ids=True)
        ids = {row['instance_uuid']: row['id'] for row in self.all()}
        self.assertEqual({'created': 5001, 'existing': 0, 'conflicts': {}, 'ids': ids}, result)
        result = api.instance_mapping_create_bulk(self.context, rows)
        self.assertEqual({'created': 0, 'existing': 5001, 'conflicts': {}}, result)
        everyone = [row['instance_uuid'] for row in rows]
        self.assertEqual(everyone, self.uuids(self.all()))
        removed = api.instance_mapping_destroy_bulk(self.context, [*everyone, *everyone, 'x'])
        self.assertEqual(5001, removed)

    def test_a_row_without_what_it_needs_is_refused_and_nothing_created(self) -> None:
        for bad in ({'project_id': None}, {'instance_uuid': None}, {'unknown': 1}, {'id': 1}):
            rows = [self.values(), self.values(**bad)]
            self.assertRaises(
                exception.InvalidInput, api.instance_mapping_create_bulk, self.context, rows
            )
        self.assertEqual([], self.all())

    def test_an_imported_batch_keeps_the_times_of_creation(self) -> None:
        created_at = datetime.datetime(2020, 2, 29, 12, 30, 59)
        self.import_batch(
            [self.values(created_at=created_at), self.values(created_at=None), self.values()],
            last_mapping_id=2,
        )
        times = [row['created_at'] for row in self.all()]
        self.assertEqual(created_at, times[0])
        self.assertTrue(all(times))
