# SPDX-License-Identifier: Apache-2.0
"""How many mappings there are."""

import sqlalchemy as sa

from nova_cellmap.db import api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Counts(case.Case):
    def test_what_is_queued_for_delete_does_not_count(self) -> None:
        for user, queued in (('u', False), ('u', True), ('v', False)):
            self.map(user_id=user, queued_for_delete=queued)
        self.map(project_id='other')
        counts = api.instance_mapping_get_counts(self.context, 'p', 'u')
        self.assertEqual({'project': {'instances': 2}, 'user': {'instances': 1}}, counts)
        counts = api.instance_mapping_get_counts(self.context, 'p')
        self.assertEqual({'project': {'instances': 2}}, counts)

    def test_null_is_not_queued(self) -> None:
        uuids = [self.map(), self.map()]
        self.execute(self.mapping_table.update().values(queued_for_delete=None))
        counts = api.instance_mapping_get_counts(self.context, 'p', 'u')
        self.assertEqual({'project': {'instances': 2}, 'user': {'instances': 2}}, counts)
        count = api.instance_mapping_get_count_by_uuids_and_user(self.context, uuids, 'u')
        self.assertEqual(2, count)
        rows = api.instance_mapping_get_all(self.context, include_queued_for_delete=False)
        self.assertEqual(uuids, self.uuids(rows))

    def test_by_cell_and_project(self) -> None:
        cell = self.cell()
        for cell_uuid, project_id, queued in (
            (cell, 'p', False),
            (cell, 'p', True),
            (cell, 'P', None),
            (None, 'p', True),
        ):
            self.map(cell_uuid=cell_uuid, project_id=project_id, queued_for_delete=queued)
        expected = {(cell, 'p', 2, 1), (cell, 'P', 1, 0), (None, 'p', 1, 1)}
        counted = api.instance_mapping_count_by_cell_and_project(self.context)
        self.assertEqual((3, expected), (len(counted), set(counted)))

    def test_by_any_number_of_uuids(self) -> None:
        there = [self.values(user_id='uv'[number % 2]) for number in range(2100)]
        api.instance_mapping_create_bulk(self.context, there)
        asked = [row['instance_uuid'] for row in there] * 2 + [base.new_uuid()]
        count = api.instance_mapping_get_count_by_uuids_and_user(self.context, asked, 'u')
        self.assertEqual(1050, count)
        self.assertEqual(
            0, api.instance_mapping_get_count_by_uuids_and_user(self.context, [], 'u')
        )


class _Two(case.Case):
    """A flag that somebody has set to 2 by hand: PostgreSQL alone has a type for flags."""

    def test_a_two_is_queued_as_it_reads(self) -> None:
        uuid = self.map()
        # As somebody may write it by hand.
        name = self.mapping_table.name
        self.execute(sa.text(f'UPDATE {name} SET queued_for_delete = 2'))
        self.assertIs(
            True,
            api.instance_mapping_get_by_instance_uuid(self.context, uuid)['queued_for_delete'],
        )
        counts = api.instance_mapping_get_counts(self.context, 'p')
        self.assertEqual({'project': {'instances': 0}}, counts)
        [(found, said)] = api.instance_mapping_scan(self.context, '', 10)
        self.assertEqual((uuid, '1'), (found, said[-1]))
        [row] = api.instance_mapping_get_by_instance_uuids(self.context, [uuid])
        changes = [(row, {'queued_for_delete': False})]
        self.assertEqual([uuid], api.instance_mapping_update_bulk(self.context, changes))
        counts = api.instance_mapping_get_counts(self.context, 'p')
        self.assertEqual({'project': {'instances': 1}}, counts)


class TwoSqlite(_Two):
    kind = 'sqlite'


class TwoMariadb(_Two):
    kind = 'mariadb'


class TwoNovaSqlite(_Two):
    kind, schema = 'sqlite', 'nova'


class TwoNovaMariadb(_Two):
    kind, schema = 'mariadb', 'nova'
