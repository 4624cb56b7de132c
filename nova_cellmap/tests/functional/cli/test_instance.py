# SPDX-License-Identifier: Apache-2.0
"""cell_v2: the commands on instances."""

import pathlib
from typing import Any

from nova_cellmap import nova_cell
from nova_cellmap.db import api
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base


class _Case(base.TestCase):
    def add(self, cell_uuid: str | None = None, **values: Any) -> str:
        """An instance in the cell that is mapped to it."""
        uuid = nova_cell.add(self.nova, **values)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        return uuid

    def missing_file(self) -> pathlib.Path:
        """The database of a cell ``lost``, which is not there."""
        path = self.folder / 'missing.sqlite'
        self.lost = self.make_cell(name='lost', database_connection=f'sqlite:///{path}')
        return path


@functional_base.on_both_schemas
class MapInstances(_Case):
    command = ('cell_v2', 'map_instances', '--cell_uuid')

    def setUp(self) -> None:
        super().setUp()
        nova_cell.fill(self.nova, 4)

    def test_0_where_all_are_mapped(self) -> None:
        nova_cell.add(self.nova, hidden=True)
        outcome = self.assert_succeeds(*self.command, 'cell1', '-f', 'json')
        expected = {'cell_uuid': self.cell.uuid, 'cell_name': 'cell1', 'created': 4}
        expected |= {'existing': 0, 'conflicts': 0, 'invalid_rows': 0}
        expected |= {'hidden': 1, 'all_done': True}
        self.assertEqual(expected, outcome.json)
        self.assertEqual(set(cells_base.instances_in(self.nova)), set(self.mapped()))

    def test_it_tells_on_standard_error_how_far_it_has_come(self) -> None:
        self.assertIn('100%', self.assert_succeeds(*self.command, self.cell.uuid).err)

    def test_quiet_tells_the_result_alone(self) -> None:
        self.assertEqual('', self.assert_succeeds('-q', *self.command, 'cell1').err)

    def test_1_where_there_is_more_to_do(self) -> None:
        created = []
        for status in (1, 0):
            outcome = self.call(*self.command, 'cell1', '--max-count', '2', '-f', 'json')
            created.append(self.assert_ends(status, outcome).json['created'])
        self.assertEqual([2, 2], created)

    def test_reset_begins_anew(self) -> None:
        self.assert_ends(1, self.call(*self.command, 'cell1', '--max-count', '2'))
        outcome = self.assert_succeeds(*self.command, 'cell1', '--reset', '-f', 'json')
        self.assertEqual((2, 2), (outcome.json['created'], outcome.json['existing']))

    def test_2_where_conflicts_were_met_also_by_an_earlier_run(self) -> None:
        first, *_ = cells_base.instances_in(self.nova)
        other = self.make_cell(name='other')
        self.make_mapping(instance_uuid=first, cell_uuid=other.uuid)
        outcome = self.call(*self.command, 'cell1', '--max-count', '2')
        for text in (first, other.uuid):
            self.assertIn(text, self.assert_ends(1, outcome).err)
        outcome = self.call(*self.command, 'cell1', '-f', 'json')
        self.assertEqual(1, self.assert_ends(2, outcome).json['conflicts'])

    def test_2_where_an_instance_has_no_project(self) -> None:
        uuid = nova_cell.add(self.nova, project_id=None)
        self.assertIn(uuid, self.assert_ends(2, self.call(*self.command, 'cell1')).err)

    def test_127_where_a_number_is_no_positive_one(self) -> None:
        for option in ('--max-count', '--batch-size'):
            for number in ('0', '-1', 'x', '', '1.5', '٣', '1_0', ' 1'):
                message = self.assert_fails(127, *self.command, 'cell1', f'{option}={number}')
                self.assertIn(option, message)
        self.assertEqual({}, self.mapped())

    def test_66_where_there_is_no_such_cell(self) -> None:
        self.assertIn('nosuch', self.assert_fails(66, *self.command, 'nosuch'))

    def test_69_where_the_cell_cannot_be_read(self) -> None:
        path = self.missing_file()
        self.assertIn(str(path), self.assert_fails(69, *self.command, 'lost'))
        self.assertFalse(path.exists())
        url = cells_base.url_of(self.new_database())
        self.make_cell(name='odd', database_connection=url)
        self.assertIn('no table instances', self.assert_fails(69, *self.command, 'odd'))

    def test_a_column_that_is_not_there_is_refused_before_anything_is_mapped(self) -> None:
        self.assert_fails(64, *self.command, 'cell1', '-c', 'nosuch')
        self.assertEqual({}, self.mapped())


@functional_base.on_both_schemas
class MapInstancesBesideReplica(_Case):
    """A replica that has the mappings, and a resume point, of a moment ago."""

    command = ('cell_v2', 'map_instances', '--cell_uuid', 'cell1', '-f', 'json')

    def setUp(self) -> None:
        super().setUp()
        nova_cell.fill(self.nova, 4)
        self.assert_ends(1, self.call(*self.command, '--max-count', '2'))

    def use_replica(self) -> None:
        urls = {'connection': self.database.url, 'slave_connection': self.make_replica().url}
        self.configure(api_database={**urls, 'synchronous_reader': False})

    def assert_all_are_mapped(self, *options: str) -> None:
        found = self.assert_succeeds(*self.command, *options).json
        self.assertEqual((4, 0, True), (found['created'], found['existing'], found['all_done']))
        self.assertEqual(set(cells_base.instances_in(self.nova)), set(self.mapped()))

    def test_reset_begins_again(self) -> None:
        self.use_replica()
        self.execute(self.mapping_table.delete())
        self.assert_all_are_mapped('--reset')

    def test_what_others_have_mapped_and_removed_meanwhile(self) -> None:
        self.use_replica()
        api.map_progress_clear(self.context, self.cell.uuid)
        self.execute(self.mapping_table.delete())
        self.assert_all_are_mapped()


@functional_base.on_both_schemas
class VerifyInstance(_Case):
    command = ('cell_v2', 'verify_instance', '--uuid')

    def assert_verdict(self, status: int, uuid: str) -> None:
        outcome = self.assert_ends(status, self.call(*self.command, uuid))
        self.assertIn(uuid, outcome.out + outcome.err)
        self.assertEqual((status, '', ''), self.call(*self.command, uuid, '--quiet'))

    def test_0_where_it_is_mapped_and_there(self) -> None:
        self.assert_verdict(0, self.add())
        self.assert_verdict(0, self.add(vm_state='soft-delete'))

    def test_1_where_it_has_no_mapping(self) -> None:
        for uuid in (nova_cell.add(self.nova), 'nosuch', 'x' * 60, ''):
            self.assertIn(uuid, self.assert_fails(1, *self.command, uuid))
            self.assertEqual((1, '', ''), self.call(*self.command, uuid, '--quiet'))

    def test_2_where_it_is_in_no_cell_yet(self) -> None:
        self.assert_verdict(2, self.make_mapping(cell_uuid=None).instance_uuid)

    def test_3_where_it_is_deleted(self) -> None:
        self.assert_verdict(3, self.add(deleted=1))

    def test_4_where_it_is_gone_from_its_cell(self) -> None:
        self.assert_verdict(4, self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid)
        self.assert_verdict(4, self.add(hidden=True))

    def test_5_where_its_cell_cannot_be_read(self) -> None:
        path = self.missing_file()
        uuid = self.make_mapping(cell_uuid=self.lost.uuid).instance_uuid
        self.assertIn(str(path), self.assert_fails(5, *self.command, uuid))
        self.assertEqual((5, '', ''), self.call(*self.command, uuid, '--quiet'))
        self.assertFalse(path.exists())

    def test_any_spelling_of_the_uuid_will_do(self) -> None:
        uuid = self.add()
        for spelling in (uuid.upper(), uuid.replace('-', ''), f'{{{uuid}}}'):
            self.assert_succeeds(*self.command, spelling)


@functional_base.on_both_schemas
class ShowInstance(_Case):
    command = ('cell_v2', 'show_instance')

    def show(self, uuid: str, status: int = 0) -> Any:
        return self.assert_ends(status, self.call(*self.command, uuid, '-f', 'json')).json

    def test_0_with_the_mapping_its_cell_and_what_the_cell_knows(self) -> None:
        shown = self.show(self.add(display_name='vm ☁', host='compute1'))
        expected = {'cell_uuid': self.cell.uuid, 'cell_name': 'cell1', 'project_id': 'project'}
        expected |= {'user_id': 'user', 'display_name': 'vm ☁', 'host': 'compute1'}
        self.assertEqual(expected, {name: shown[name] for name in expected})
        self.assertIn('2026-01-01', shown['created_at'])
        self.assertIs(False, shown['queued_for_delete'])

    def test_every_format(self) -> None:
        uuid = self.add()
        for format_ in ('json', 'yaml', 'shell', 'table', 'value'):
            outcome = self.assert_succeeds(*self.command, uuid, '-f', format_)
            self.assertIn(uuid, outcome.out, format_)

    def test_a_column_can_be_named(self) -> None:
        outcome = self.assert_succeeds(*self.command, self.add(), '-f', 'value', '-c', 'cell_name')
        self.assertEqual('cell1\n', outcome.out)
        self.assert_fails(64, *self.command, self.add(), '-c', 'nosuch')

    def test_0_for_a_deleted_instance(self) -> None:
        self.assertEqual('deleted', self.show(self.add(deleted=1, vm_state='deleted'))['vm_state'])

    def test_1_where_it_has_no_mapping(self) -> None:
        for uuid in (nova_cell.add(self.nova), 'nosuch', 'x' * 60):
            self.assert_fails(1, *self.command, uuid)

    def test_2_where_it_is_in_no_cell_yet(self) -> None:
        shown = self.show(self.make_mapping(cell_uuid=None).instance_uuid, status=2)
        self.assertEqual((None, None), (shown['cell_uuid'], shown['cell_name']))

    def test_4_where_it_is_gone_from_its_cell(self) -> None:
        uuid = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        self.assertEqual('cell1', self.show(uuid, status=4)['cell_name'])

    def test_5_where_its_cell_cannot_be_read(self) -> None:
        path = self.missing_file()
        uuid = self.make_mapping(cell_uuid=self.lost.uuid).instance_uuid
        self.assertEqual('lost', self.show(uuid, status=5)['cell_name'])
        self.assertFalse(path.exists())


@functional_base.on_both_schemas
class ListInstances(_Case):
    command = ('cell_v2', 'list_instances')

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_cell(name='other')
        cells = (self.cell.uuid, self.other.uuid, None)
        self.uuids = [
            self.make_mapping(
                cell_uuid=cells[number % 3], project_id=f'p{number % 2}'
            ).instance_uuid
            for number in range(6)
        ]

    def listed(self, *options: str) -> list[str]:
        outcome = self.assert_succeeds(
            *self.command, *options, '-f', 'value', '-c', 'instance_uuid'
        )
        return outcome.out.split()

    def test_all_come_in_the_order_of_creation(self) -> None:
        self.assertEqual(self.uuids, self.listed())

    def test_every_format(self) -> None:
        for format_ in ('json', 'yaml', 'csv', 'table', 'value'):
            out = self.assert_succeeds(*self.command, '-f', format_).out
            self.assertTrue(all(uuid in out for uuid in self.uuids), format_)

    def test_those_of_a_cell_or_a_project_or_both(self) -> None:
        for cell in (self.other.uuid, 'other'):
            self.assertEqual(self.uuids[1::3], self.listed('--cell', cell))
        self.assertEqual(self.uuids[1::2], self.listed('--project', 'p1'))
        self.assertEqual([self.uuids[1]], self.listed('--project', 'p1', '--cell', 'other'))
        self.assertEqual([], self.listed('--project', 'nosuch'))

    def test_pages_neither_skip_nor_repeat(self) -> None:
        pages = [self.listed('--limit', '4')]
        pages.append(self.listed('--limit', '4', '--marker', pages[0][-1]))
        self.assertEqual([self.uuids[:4], self.uuids[4:]], pages)
        self.assertEqual([], self.listed('--marker', pages[1][-1]))

    def test_a_list_longer_than_what_is_read_at_a_time(self) -> None:
        nova_cell.fill(self.nova, 2001)
        self.assert_succeeds('cell_v2', 'map_instances', '--cell', 'cell1')
        listed = self.listed()
        self.assertEqual(2007, len(listed))
        self.assertEqual(set(self.mapped()), set(listed))
        self.assertEqual(listed[:1500], self.listed('--limit', '1500'))

    def test_66_where_there_is_no_such_cell_or_marker(self) -> None:
        self.assert_fails(66, *self.command, '--cell', 'nosuch')
        self.assert_fails(66, *self.command, '--marker', self.cell.uuid)
        self.assert_fails(66, *self.command, '--marker', self.uuids[1], '--cell', 'cell1')

    def test_64_where_the_limit_is_no_positive_number(self) -> None:
        for number in ('0', '-1', 'x', ''):
            self.assert_fails(64, *self.command, f'--limit={number}')
