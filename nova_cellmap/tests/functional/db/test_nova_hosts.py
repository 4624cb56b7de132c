# SPDX-License-Identifier: Apache-2.0
"""Which cell hosts are mapped to."""

import datetime

import sqlalchemy as sa

from nova_cellmap.db import nova_hosts
from nova_cellmap.tests.functional import base


@base.on_each_database
class Hosts(base.TestCase):
    schema = 'nova'

    def test_all_in_their_order(self) -> None:
        cell = self.make_cell()
        when = datetime.datetime(2026, 1, 1)
        names = ('id', 'host', 'cell_id', 'created_at')
        table = sa.table('host_mappings', *map(sa.column, names))
        rows = [
            {'id': number, 'host': f'host{number}', 'cell_id': cell.id, 'created_at': when}
            for number in range(1, 6002)
        ]
        self.execute(table.insert().values(rows[:3000]))
        self.execute(table.insert().values(rows[3000:]))
        found = nova_hosts.host_mapping_get_all(self.context)
        assert found is not None
        self.assertEqual([row['host'] for row in rows], [row['host'] for row in found])
        self.assertEqual(
            {'host': 'host1', 'cell_uuid': cell.uuid, 'created_at': when, 'updated_at': None},
            found[0],
        )


class OwnTables(base.TestCase):
    def test_they_have_none(self) -> None:
        self.assertIsNone(nova_hosts.host_mapping_get_all(self.context))
