# SPDX-License-Identifier: Apache-2.0
"""The commands on Nova's own tables, with a configuration file as Nova has it."""

from collections.abc import Mapping
import json
from typing import Any

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.cli import status
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base


@functional_base.on_each_database
class NovaSchema(base.TestCase):
    schema = 'nova'

    def configure(self, **groups: Mapping[str, Any]) -> None:
        novas: dict[str, Mapping[str, Any]] = {
            'DEFAULT': {'state_path': self.folder, 'my_ip': '192.0.2.1', 'compute_driver': 'x'},
            'cache': {'enabled': True, 'backend': 'oslo_cache.memcache_pool'},
            'libvirt': {'virt_type': 'kvm'},
        }
        super().configure(**{**novas, **groups})

    def test_db_sync_refuses_and_says_who_does_it(self) -> None:
        self.assertIn('nova-manage api_db sync', self.assert_fails(1, 'db', 'sync'))

    def test_db_version_is_the_revision(self) -> None:
        outcome = self.assert_succeeds('db', 'version')
        [(revision,)] = self.execute(sa.text('SELECT version_num FROM alembic_version'))
        self.assertEqual(f'{revision}\n', outcome.out)
        self.assertIn("Nova's own", outcome.err)

    def test_a_cell_with_hosts_is_kept(self) -> None:
        self.execute(
            sa.text(
                'INSERT INTO host_mappings (host, cell_id) '
                "SELECT 'compute1', id FROM cell_mappings"
            )
        )
        mapping = self.make_mapping(cell_uuid=self.cell.uuid, queued_for_delete=True)
        command = 'cell_v2', 'delete_cell', '--cell', 'cell1', '--force'
        self.assertIn('delete_host', self.assert_fails(2, *command))
        self.assertEqual({mapping.instance_uuid: self.cell.uuid}, self.mapped())
        self.execute(sa.text('DELETE FROM host_mappings'))
        self.assert_succeeds(*command)
        self.assertEqual({}, self.mapped())

    def test_instances_are_mapped_in_several_runs(self) -> None:
        nova_cell.fill(self.nova, 5)
        command = 'cell_v2', 'map_instances', '--cell', 'cell1', '--max-count', '2'
        self.assertEqual([1, 1, 0], [self.call(*command).status for _ in range(3)])
        self.assertEqual(5, len(self.mapped()))

    def test_the_audit_counts_what_is_in_flight(self) -> None:
        uuid = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=uuid)
        self.execute(
            sa.text(
                'INSERT INTO build_requests (instance_uuid, project_id) VALUES (:uuid, :uuid)'
            ).bindparams(uuid=uuid)
        )
        summary = self.folder / 'summary.json'
        command = 'cell_v2', 'audit', '--repair', '--summary', str(summary)
        self.assertIn('1 in flight', self.assert_succeeds(*command).err)
        self.assertEqual(1, json.loads(summary.read_text())['in_flight'])
        self.assertEqual({uuid: None}, self.mapped())

    def test_the_upgrade_check_looks_at_them(self) -> None:
        outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
        checks = {row['check']: row for row in json.loads(outcome.out)}
        schema = checks['schema is current']
        self.assertEqual('success', schema['result'])
        self.assertIn("Nova's own, at revision", schema['details'])
