# SPDX-License-Identifier: Apache-2.0
"""cell_v2: the commands on cells."""

import csv
import io
from typing import Any
import uuid

import sqlalchemy as sa
import yaml

from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base

_DATABASE = 'mysql+pymysql://nova:sekret@db:3306/nova_cell2'
_QUEUE = 'rabbit://nova:sekret@mq:5672/cell2'
_DATABASE_TEMPLATE = '{scheme}://{username}:{password}@{hostname}:{port}/nova_cell2'
_QUEUE_TEMPLATE = '{scheme}://{username}:{password}@{hostname}:{port}/cell2'
_COLUMNS = ['name', 'uuid', 'transport_url', 'database_connection', 'disabled']


class _Case(base.TestCase):
    def row(self, cell_uuid: str) -> Any:
        """The cell as it is stored."""
        table = self.cell_table
        [row] = self.execute(table.select().where(table.c.uuid == cell_uuid))
        return row

    def uuids(self) -> list[str]:
        return [row.uuid for row in self.execute(sa.select(self.cell_table.c.uuid))]

    def base_urls(self) -> None:
        """Have the options name the URLs that templates are filled from."""
        self.configure(
            DEFAULT={'transport_url': 'rabbit://nova:sekret@mq:5672/'},
            database={'connection': 'mysql+pymysql://nova:sekret@db:3306/nova'},
        )


@functional_base.on_both_schemas
class CreateCell(_Case):
    command = ('cell_v2', 'create_cell')
    urls = ('--database_connection', _DATABASE, '--transport-url', _QUEUE)

    def test_it_prints_the_uuid_and_nothing_else(self) -> None:
        outcome = self.assert_succeeds(*self.command, '--name', 'cell ☁', *self.urls)
        [line] = outcome.out.splitlines()
        self.assertEqual(str(uuid.UUID(line)), line)
        row = self.row(line)
        self.assertEqual(
            ('cell ☁', _DATABASE, _QUEUE, False),
            (row.name, row.database_connection, row.transport_url, row.disabled),
        )

    def test_a_cell_can_be_disabled_from_the_start(self) -> None:
        outcome = self.assert_succeeds(*self.command, '--disabled', *self.urls)
        self.assertTrue(self.row(outcome.out.strip()).disabled)

    def test_templates_stay_templates(self) -> None:
        self.base_urls()
        urls = ('--database-connection', _DATABASE_TEMPLATE, '--transport_url', _QUEUE_TEMPLATE)
        row = self.row(self.assert_succeeds(*self.command, *urls).out.strip())
        self.assertEqual(_DATABASE_TEMPLATE, row.database_connection)
        self.assertEqual(_QUEUE_TEMPLATE, row.transport_url)

    def test_urls_default_to_those_in_the_options(self) -> None:
        self.base_urls()
        row = self.row(self.assert_succeeds(*self.command).out.strip())
        self.assertIn('db:3306', row.database_connection)
        self.assertIn('mq:5672', row.transport_url)

    def test_1_where_a_url_is_wrong_or_missing(self) -> None:
        for option, url in (
            ('--database_connection', 'nosuch://nova:sekret@db/x'),
            ('--database_connection', 'mysql+pymysql://nova:sekret@db:port/x'),
            ('--database_connection', _DATABASE_TEMPLATE),
            ('--transport-url', 'rabbit://nova:sekret@mq:port/'),
            ('--transport-url', 'mq'),
        ):
            self.assert_fails(1, *self.command, *self.urls, option, url)
        self.assertIn('--database_connection', self.assert_fails(1, *self.command))

    def test_64_where_the_name_cannot_be_kept(self) -> None:
        for name in ('x' * 256, '\udcff'):
            self.assert_fails(64, *self.command, *self.urls, '--name', name)
            self.assert_fails(64, 'cell_v2', 'update_cell', '--cell', 'cell1', '--name', name)

    def test_2_where_the_name_or_a_url_is_taken(self) -> None:
        self.base_urls()
        self.assert_succeeds(*self.command, *self.urls)
        self.assert_fails(2, *self.command, '--name', 'cell1', '--transport-url', 'none:///')
        self.assert_fails(2, *self.command, *self.urls[:2], '--transport-url', 'none:///')
        self.assert_fails(2, *self.command, '--transport-url', _QUEUE_TEMPLATE)
        self.assertEqual(2, len(self.uuids()))


class ListCells(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.secret = self.make_cell(
            name='cell ☁', database_connection=_DATABASE, transport_url=_QUEUE, disabled=True
        )

    def listed(self, *options: str) -> base.Outcome:
        return self.assert_succeeds('cell_v2', 'list_cells', *options)

    def expected(self) -> list[dict[str, Any]]:
        masked = (_QUEUE.replace('sekret', '***'), _DATABASE.replace('sekret', '***'))
        cells = (
            ('cell1', self.cell.uuid, 'none:///', cells_base.url_of(self.nova), False),
            ('cell ☁', self.secret.uuid, *masked, True),
        )
        return [dict(zip(_COLUMNS, cell, strict=True)) for cell in cells]

    def test_json(self) -> None:
        self.assertEqual(self.expected(), self.listed('-f', 'json').json)

    def test_yaml(self) -> None:
        self.assertEqual(self.expected(), yaml.safe_load(self.listed('-f', 'yaml').out))

    def test_csv(self) -> None:
        rows = list(csv.DictReader(io.StringIO(self.listed('-f', 'csv').out)))
        expected = [{name: str(value) for name, value in row.items()} for row in self.expected()]
        self.assertEqual(expected, rows)

    def test_value(self) -> None:
        out = self.listed('-f', 'value', '-c', 'uuid').out
        self.assertEqual([self.cell.uuid, self.secret.uuid], out.splitlines())

    def test_table(self) -> None:
        out = self.listed().out
        for text in (*_COLUMNS, 'cell ☁', self.secret.uuid, '***'):
            self.assertIn(text, out)

    def test_columns_are_those_that_are_named(self) -> None:
        row = self.listed('-f', 'json', '-c', 'name', '-c', 'disabled').json[1]
        self.assertEqual({'name': 'cell ☁', 'disabled': True}, row)

    def test_a_column_that_is_not_there_is_refused(self) -> None:
        message = self.assert_fails(64, 'cell_v2', 'list_cells', '-c', 'uuid', '-c', 'nosuch')
        self.assertIn('nosuch', message)
        self.assertIn(', '.join(_COLUMNS), message)

    def test_a_format_that_is_not_there_is_refused(self) -> None:
        outcome = self.call('cell_v2', 'list_cells', '-f', 'nosuch')
        self.assertIn('nosuch', self.assert_ends(64, outcome).err)

    def test_no_cells(self) -> None:
        self.execute(self.cell_table.delete())
        self.assertEqual([], self.listed('-f', 'json').json)
        self.listed()

    def test_a_template_that_cannot_be_filled_hides_no_other_cell(self) -> None:
        url = 'mysql://nova:sekret@{hostname}/x'
        self.make_cell(name='odd', database_connection=url)
        self.assertEqual(3, len(self.listed('-f', 'json').json))


class ListCellsNova(ListCells):
    schema = 'nova'


@functional_base.on_both_schemas
class UpdateCell(_Case):
    command = ('cell_v2', 'update_cell')

    def setUp(self) -> None:
        super().setUp()
        self.base_urls()
        self.other = self.make_cell(
            name='cell2', database_connection=_DATABASE_TEMPLATE, transport_url=_QUEUE_TEMPLATE
        )

    def test_what_is_named_changes_and_nothing_else(self) -> None:
        for options, change in (
            (('--name', 'new'), {'name': 'new'}),
            (('--disable',), {'disabled': True}),
            (('--enable',), {'disabled': False}),
            (('--transport-url', 'none:///'), {'transport_url': 'none:///'}),
            (('--database_connection', 'none:///'), {'database_connection': 'none:///'}),
            ((), {}),
        ):
            before = self.row(self.other.uuid)._asdict()
            self.assert_succeeds(*self.command, '--cell_uuid', self.other.uuid, *options)
            after = self.row(self.other.uuid)._asdict()
            for row in (before, after):
                del row['updated_at']
            self.assertEqual({**before, **change}, after)

    def test_what_is_so_already_is_not_said_to_have_changed(self) -> None:
        for options, word in (
            (('--enable',), 'enabled'),
            (('--name', 'cell2'), 'name'),
            (('--database_connection', _DATABASE_TEMPLATE), 'database_connection'),
            ((), 'no option'),
        ):
            before = self.row(self.other.uuid)
            err = self.assert_succeeds(*self.command, '--cell', 'cell2', *options).err
            self.assertIn('Nothing changed', err)
            self.assertIn(word, err)
            self.assertEqual(before, self.row(self.other.uuid))
        both = ('--enable', '--name', 'new')
        err = self.assert_succeeds(*self.command, '--cell', 'cell2', *both).err
        self.assertTrue(err.endswith('(new): name. As it was: enabled.\n'), err)

    def test_a_cell_is_named_by_its_name_too(self) -> None:
        self.assert_succeeds(*self.command, '--cell', 'cell2', '--name', 'new')
        self.assertEqual('new', self.row(self.other.uuid).name)

    def test_1_where_there_is_no_such_cell(self) -> None:
        for cell in ('nosuch', str(uuid.uuid4()), ''):
            self.assert_fails(1, *self.command, '--cell_uuid', cell, '--name', 'new')

    def test_1_where_a_url_is_wrong(self) -> None:
        url = 'nosuch://nova:sekret@db/x'
        self.assert_fails(1, *self.command, '--cell', 'cell2', '--database_connection', url)
        self.assertEqual(_DATABASE_TEMPLATE, self.row(self.other.uuid).database_connection)

    def test_3_where_the_name_or_a_url_is_taken(self) -> None:
        for options in (
            ('--name', 'cell2'),
            ('--database_connection', _DATABASE),
            ('--transport-url', _QUEUE),
        ):
            self.assert_fails(3, *self.command, '--cell_uuid', 'cell1', *options)

    def test_4_where_both_flags_are_given(self) -> None:
        self.assert_fails(4, *self.command, '--cell', 'cell2', '--enable', '--disable')

    def test_5_where_cell0_is_to_be_disabled(self) -> None:
        self.make_cell0()
        self.assert_fails(5, *self.command, '--cell', 'cell0', '--disable', '--name', 'new')
        self.assertEqual('cell0', self.row(CellMapping.CELL0_UUID).name)

    def test_64_where_no_cell_is_named(self) -> None:
        outcome = self.assert_ends(64, self.call(*self.command, '--name', 'new'))
        self.assertIn('--cell_uuid', outcome.err)

    def make_cell0(self) -> None:
        values = {'uuid': CellMapping.CELL0_UUID, 'name': 'cell0'}
        urls = dict.fromkeys(('transport_url', 'database_connection'), 'none:///')
        self.execute(self.cell_table.insert().values({**values, **urls}))


@functional_base.on_both_schemas
class DeleteCell(_Case):
    command = ('cell_v2', 'delete_cell', '--cell_uuid')

    def test_0_where_it_is_empty(self) -> None:
        self.assert_succeeds(*self.command, self.cell.uuid)
        self.assertEqual([], self.uuids())

    def test_1_where_there_is_no_such_cell(self) -> None:
        for cell in ('nosuch', str(uuid.uuid4()), ''):
            self.assert_fails(1, *self.command, cell)

    def test_3_where_it_has_live_instances(self) -> None:
        nova_cell.add(self.nova)
        for options in ((), ('--force',)):
            self.assert_fails(3, *self.command, 'cell1', *options)
        self.assertEqual([self.cell.uuid], self.uuids())

    def test_4_where_mappings_are_left_unless_forced(self) -> None:
        self.make_mapping(cell_uuid=self.cell.uuid, queued_for_delete=True)
        self.assertIn('--force', self.assert_fails(4, *self.command, 'cell1'))
        self.assert_succeeds(*self.command, 'cell1', '--force')
        self.assertEqual(([], {}), (self.uuids(), self.mapped()))

    def test_5_where_mappings_are_left_and_the_cell_cannot_be_asked(self) -> None:
        path = self.folder / 'missing.sqlite'
        for number, url in enumerate(
            (
                f'sqlite:///{path}',
                cells_base.url_of(self.new_database()),
                cells_base.url_of(self.new_nova()),
                'none:///',
            )
        ):
            cell = self.make_cell(name=f'lost{number}', database_connection=url)
            self.make_mapping(cell_uuid=cell.uuid)
            for options in ((), ('--force',)):
                said = self.assert_fails(5, *self.command, cell.uuid, *options)
                self.assertIn('--unasked', said)
        self.assertFalse(path.exists())
        self.assertEqual(4, len(self.mapped()))

    def test_unasked_removes_what_nobody_can_ask_about(self) -> None:
        cell = self.make_cell(name='lost')
        self.make_mapping(cell_uuid=cell.uuid)
        self.assertIn('1 mapping', self.assert_succeeds(*self.command, 'lost', '--unasked').err)
        self.assertEqual({}, self.mapped())

    def test_unasked_asks_where_it_can(self) -> None:
        nova_cell.add(self.nova)
        self.assert_fails(3, *self.command, 'cell1', '--unasked')

    def test_a_lost_cell_without_mappings_is_removed(self) -> None:
        cell = self.make_cell(name='lost', database_connection='sqlite:////missing.sqlite')
        self.assertIn('missing.sqlite', self.assert_succeeds(*self.command, cell.uuid).err)
        self.assertEqual([self.cell.uuid], self.uuids())


class MapCell0(_Case):
    command = ('cell_v2', 'map_cell0')

    def test_it_is_named_after_the_database_in_the_options(self) -> None:
        self.base_urls()
        outcome = self.assert_succeeds(*self.command)
        self.assertEqual('', outcome.out)
        row = self.row(CellMapping.CELL0_UUID)
        self.assertEqual(('cell0', 'none:///'), (row.name, row.transport_url))
        self.assertEqual('mysql+pymysql://nova:sekret@db:3306/nova_cell0', row.database_connection)

    def test_mapping_it_twice_changes_nothing(self) -> None:
        for url in (_DATABASE, 'none:///'):
            self.assert_succeeds(*self.command, '--database_connection', url)
        self.assertEqual(_DATABASE, self.row(CellMapping.CELL0_UUID).database_connection)

    def test_1_where_the_url_is_wrong_or_missing(self) -> None:
        self.assert_fails(1, *self.command, '--database_connection', 'nosuch://n:sekret@db/x')
        self.assertIn('[database] connection', self.assert_fails(1, *self.command))

    def test_2_where_its_name_or_database_is_another_cells(self) -> None:
        self.make_cell(name='cell0', database_connection=_DATABASE)
        for url in (_DATABASE, 'none:///'):
            self.assert_fails(2, *self.command, '--database_connection', url)


class MapCell0Nova(MapCell0):
    schema = 'nova'
