# SPDX-License-Identifier: Apache-2.0
"""What Nova's API database has of one instance."""

import sqlalchemy as sa

from nova_cellmap.db import api
from nova_cellmap.db.columns import Row
from nova_cellmap.tests.functional import base


class _Case(base.TestCase):
    def found(self, uuid: str) -> dict[str, Row | None] | None:
        return api.nova_traces_get(self.context, uuid)


@base.on_each_database
class NovasTables(_Case):
    schema = 'nova'

    def test_build_request_request_spec_and_server_group(self) -> None:
        uuid = self.make_mapping().instance_uuid
        for text in (
            'INSERT INTO build_requests (instance_uuid, project_id) VALUES (:uuid, :uuid)',
            "INSERT INTO request_specs (instance_uuid, spec) VALUES (:uuid, '{}')",
            "INSERT INTO instance_groups (id, uuid, name) VALUES (1, :uuid, 'apart')",
            'INSERT INTO instance_group_member (instance_uuid, group_id) VALUES (:uuid, 1)',
        ):
            self.execute(sa.text(text.replace(':uuid', f"'{uuid}'")))
        self.addCleanup(self.remove)
        nova = self.found(uuid) or {}
        request, group = nova['build_request'] or {}, nova['server_group'] or {}
        self.assertEqual(uuid, request['project_id'])
        self.assertIsNotNone(nova['request_spec'])
        self.assertEqual((uuid, 'apart'), (group['uuid'], group['name']))
        others = self.found(base.new_uuid()) or {}
        self.assertEqual({None}, set(others.values()))

    def remove(self) -> None:
        for table in (
            'instance_group_member',
            'instance_groups',
            'request_specs',
            'build_requests',
        ):
            self.execute(sa.text(f'DELETE FROM {table}'))

    def test_tables_that_the_release_does_not_have_are_none(self) -> None:
        self.execute(sa.text('ALTER TABLE request_specs RENAME TO kept'))
        self.addCleanup(self.execute, sa.text('ALTER TABLE kept RENAME TO request_specs'))
        expected = dict.fromkeys(('build_request', 'request_spec', 'server_group'))
        self.assertEqual(expected, self.found(base.new_uuid()))


@base.on_each_database
class OurTables(_Case):
    def test_they_have_nothing_of_novas(self) -> None:
        self.assertIsNone(self.found(base.new_uuid()))
