# SPDX-License-Identifier: Apache-2.0
"""The commands on Nova's own tables, with a configuration file as Nova has it."""

from collections.abc import Mapping
import json
from typing import Any

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.cli import status
from nova_cellmap.db import resume_files
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
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

    def test_a_resume_point_is_a_file_in_the_state_path(self) -> None:
        nova_cell.fill(self.nova, 3)
        command = 'cell_v2', 'map_instances', '--cell', 'cell1', '--max-count', '2'
        folder = self.folder / resume_files.FOLDER
        self.assert_ends(1, self.call(*command))
        self.assertEqual(1, len(list(folder.iterdir())))
        self.assert_succeeds(*command)
        self.assertEqual([], list(folder.iterdir()))

    def test_all_besides_the_two_tables_stays_as_it_is(self) -> None:
        uuid, *others = (nova_cell.add(self.nova) for _ in range(4))
        self.make_mapping(instance_uuid=others[0])
        self.make_mapping(cell_uuid=self.cell.uuid)
        for statement in (
            "INSERT INTO host_mappings (host, cell_id) SELECT 'h', id FROM cell_mappings",
            "INSERT INTO build_requests (instance_uuid, project_id) VALUES ('i', 'p')",
            "INSERT INTO request_specs (instance_uuid, spec) VALUES ('i', '{}')",
        ):
            self.execute(sa.text(statement))
        before = self.nova_besides()
        urls = '--database_connection', 'none:///', '--transport-url', 'none:///'
        for expected, command in (
            (0, ('map_cell0', '--database_connection', cells_base.url_of(self.new_nova()))),
            (0, ('create_cell', '--name', 'new', *urls)),
            (0, ('update_cell', '--cell', 'new', '--disable')),
            (0, ('list_cells',)),
            (0, ('delete_cell', '--cell', 'new')),
            (1, ('map_instances', '--cell', 'cell1', '--max-count', '1')),
            (0, ('map_instances', '--cell', 'cell1', '--reset')),
            (0, ('verify_instance', '--uuid', uuid)),
            (0, ('show_instance', uuid)),
            (0, ('list_instances', '--cell', 'cell1')),
            (0, ('stats',)),
            (1, ('audit', '--min-age', '0')),
            (0, ('audit', '--min-age', '0', '--repair', '--purge')),
            (2, ('delete_cell', '--cell', 'cell1')),
        ):
            self.assert_ends(expected, self.call('cell_v2', *command))
        self.assert_fails(1, 'db', 'sync')
        self.assert_succeeds('db', 'version')
        self.assert_ends(0, self.call('upgrade', 'check', main=status.main))
        self.assertEqual(before, self.nova_besides())
        self.assertEqual(dict.fromkeys([uuid, *others], self.cell.uuid), self.mapped())

    def test_the_upgrade_check_looks_at_them(self) -> None:
        outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
        checks = {row['check']: row for row in json.loads(outcome.out)}
        schema = checks['schema is current']
        self.assertEqual('success', schema['result'])
        self.assertIn("Nova's own, at revision", schema['details'])
