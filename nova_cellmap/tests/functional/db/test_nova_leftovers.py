# SPDX-License-Identifier: Apache-2.0
"""The pages in which what is left is looked for."""

import sqlalchemy as sa

from nova_cellmap.db import nova_leftovers
from nova_cellmap.tests.functional import base


@base.on_each_database
class Pages(base.TestCase):
    schema = 'nova'

    def test_rows_without_a_mapping(self) -> None:
        mapping = self.make_mapping()
        uuids = [base.new_uuid(), mapping.instance_uuid, base.new_uuid()]
        rows = [
            {'id': 5 * n, 'instance_uuid': uuid, 'spec': ''} for n, uuid in enumerate(uuids, 1)
        ]
        self.execute(sa.table('request_specs', *map(sa.column, rows[0])).insert().values(rows))
        first = nova_leftovers.nova_rows_after(self.context, 'request_spec', 0, 2)
        assert first is not None
        self.assertEqual((10, 2), (first.last_id, first.rows))
        self.assertEqual([uuids[0]], [row['instance_uuid'] for row in first.found])
        second = nova_leftovers.nova_rows_after(self.context, 'request_spec', 10, 2)
        assert second is not None
        self.assertEqual([uuids[2]], [row['instance_uuid'] for row in second.found])
        self.assertIsNone(nova_leftovers.nova_rows_after(self.context, 'request_spec', 15, 2))

    def test_unmigrated_mappings(self) -> None:
        mappings = [self.make_mapping() for _ in range(5)]
        table = self.mapping_table
        lacking = mappings[3].instance_uuid
        self.execute(table.update().where(table.c.instance_uuid == lacking).values(user_id=None))
        found, last_id = [], 0
        while page := nova_leftovers.nova_unmigrated_after(self.context, last_id, 2):
            last_id = page.last_id
            found += [(page.rows, row['instance_uuid']) for row in page.found]
        self.assertEqual([(2, lacking)], found)
        self.assertEqual(mappings[-1].id, last_id)


class OwnTables(base.TestCase):
    def test_they_have_nothing_of_it(self) -> None:
        self.make_mapping()
        self.assertIsNone(nova_leftovers.nova_rows_after(self.context, 'request_spec', 0, 9))
        self.assertIsNone(nova_leftovers.nova_unmigrated_after(self.context, 0, 9))
