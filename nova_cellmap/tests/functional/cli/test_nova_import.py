# SPDX-License-Identifier: Apache-2.0
"""cell_v2 import_nova: the command."""

import json

import sqlalchemy as sa

from nova_cellmap.tests import nova_api
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base


@functional_base.on_each_database
class ImportNova(base.TestCase):
    command = ('cell_v2', 'import_nova', '--connection')

    def setUp(self) -> None:
        super().setUp()
        self.api = self.new_nova_api()
        self.url = cells_base.url_of(self.api)
        self.number = nova_api.add_cell(self.api, name='east')
        nova_api.fill(self.api, 4, cells=(self.number,))

    def test_0_where_all_stand_here(self) -> None:
        outcome = self.assert_succeeds(*self.command, self.url, '-f', 'json')
        expected = {'cells_created': 1, 'cells_existing': 0, 'cell_conflicts': 0, 'created': 4}
        expected |= {'existing': 0, 'conflicts': 0, 'invalid_rows': 0, 'all_done': True}
        self.assertEqual(expected, outcome.json)
        self.assertEqual(4, len(self.mapped()))

    def test_every_format(self) -> None:
        for format_ in ('json', 'yaml', 'shell', 'table', 'value'):
            outcome = self.assert_succeeds(*self.command, self.url, '-f', format_)
            self.assertIn('4', outcome.out, format_)

    def test_it_tells_on_standard_error_how_far_it_has_come(self) -> None:
        self.assertIn('100%', self.assert_succeeds(*self.command, self.url).err)

    def test_quiet_tells_the_result_alone(self) -> None:
        self.assertEqual('', self.assert_succeeds('-q', *self.command, self.url).err)

    def test_1_where_there_is_more_to_do(self) -> None:
        counts = []
        for status in (1, 0):
            outcome = self.call(*self.command, self.url, '--max-count', '2', '-f', 'json')
            found = self.assert_ends(status, outcome).json
            counts.append((found['cells_created'], found['cells_existing'], found['created']))
        self.assertEqual([(1, 0, 2), (0, 1, 2)], counts)

    def test_reset_begins_anew(self) -> None:
        self.assert_ends(1, self.call(*self.command, self.url, '--max-count', '2'))
        outcome = self.assert_succeeds(*self.command, self.url, '--reset', '-f', 'json')
        self.assertEqual((2, 2), (outcome.json['created'], outcome.json['existing']))

    def test_2_where_a_mapping_is_a_conflict(self) -> None:
        uuid = nova_api.add(self.api, cell_id=self.number)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        outcome = self.assert_ends(2, self.call(*self.command, self.url, '-f', 'json'))
        self.assertEqual((1, 0), (outcome.json['conflicts'], outcome.json['cell_conflicts']))
        self.assertIn(uuid, outcome.err)

    def test_2_where_a_cell_is_a_conflict(self) -> None:
        nova_api.add_cell(self.api, uuid=self.cell.uuid, name='elsewhere')
        outcome = self.assert_ends(2, self.call(*self.command, self.url, '-f', 'json'))
        self.assertEqual((0, 1), (outcome.json['conflicts'], outcome.json['cell_conflicts']))
        self.assertIn(self.cell.uuid, outcome.err)

    def test_no_password_is_shown(self) -> None:
        secret = f'rabbit://nova:{base.SECRET}@mq:5672/'
        nova_api.add_cell(self.api, uuid=self.cell.uuid, transport_url=secret)
        nova_api.add_cell(self.api, name='cell1', transport_url=secret)
        outcome = self.call(*self.command, self.url, '-f', 'json')
        self.assertEqual(2, json.loads(self.assert_ends(2, outcome).out)['cell_conflicts'])

    def test_64_where_a_number_is_no_positive_one(self) -> None:
        for option in ('--max-count', '--batch-size'):
            for number in ('0', '-1', 'x', '', '1.5'):
                message = self.assert_fails(64, *self.command, self.url, f'{option}={number}')
                self.assertIn(option, message)
        self.assertEqual({}, self.mapped())

    def test_64_where_the_url_is_wrong(self) -> None:
        for url in ('', 'none:///', 'nonsense', f'no+such://u:{base.SECRET}@x/y', '{scheme}://x'):
            self.assertIn('URL', self.assert_fails(64, *self.command, url))

    def test_69_where_the_database_cannot_be_reached(self) -> None:
        path = self.folder / 'missing.sqlite'
        self.assertIn(str(path), self.assert_fails(69, *self.command, f'sqlite:///{path}'))
        self.assertFalse(path.exists())
        url = sa.make_url(self.url)
        if url.host:
            url = url.set(port=1, password=base.SECRET)
            self.assert_fails(69, *self.command, url.render_as_string(hide_password=False))

    def test_69_where_it_is_no_nova_api_database(self) -> None:
        for url in (self.database.url, cells_base.url_of(self.nova)):
            self.assertIn('no table cell_mappings', self.assert_fails(69, *self.command, url))

    def test_69_where_the_mapping_database_lacks_its_tables(self) -> None:
        self.configure(api_database={'connection': cells_base.url_of(self.new_database())})
        self.assertIn('db sync', self.assert_fails(69, *self.command, self.url))

    def test_a_column_that_is_not_there_is_refused_before_anything_is_copied(self) -> None:
        self.assert_fails(64, *self.command, self.url, '-c', 'nosuch')
        self.assertEqual({}, self.mapped())
