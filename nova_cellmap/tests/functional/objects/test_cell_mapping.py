# SPDX-License-Identifier: Apache-2.0
"""CellMapping and CellMappingList, on each kind of database."""

import datetime

from oslo_config import cfg
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base


@base.straight_and_through_the_conductor
class Cell(base.TestCase):
    def test_a_cell_is_found_as_it_was_created(self) -> None:
        cell = self.make_cell(
            name='cell1',
            transport_url='rabbit://u:p@mq/cell1',
            database_connection='mysql+pymysql://u:p@db/cell1',
        )
        for found in (
            objects.CellMapping.get_by_uuid(self.context, cell.uuid),
            objects.CellMapping.get_by_uuid(self.context, cell.uuid.upper()),
            objects.CellMapping.get_by_name(self.context, 'cell1'),
        ):
            self.assertEqual(cell.obj_to_primitive(), found.obj_to_primitive())
            self.assertEqual(set(), found.obj_what_changed())
        self.assertIs(False, cell.disabled)
        self.assertEqual(datetime.UTC, cell.created_at and cell.created_at.tzinfo)
        self.assertEqual(f'{cell.uuid}(cell1)', cell.identity)

    def test_a_uuid_is_made_where_none_is_given(self) -> None:
        urls = {'transport_url': 'none:///', 'database_connection': 'none:///'}
        cell = objects.CellMapping(self.context, **urls)
        cell.create()
        self.assertEqual(36, len(cell.uuid))
        self.assertEqual(cell.uuid, cell.identity)

    def test_a_cell_needs_urls(self) -> None:
        cell = objects.CellMapping(self.context, transport_url='none:///')
        error = self.assertRaises(exception.ObjectActionError, cell.create)
        self.assertIn('database_connection', str(error))

    def test_what_is_no_url_is_refused(self) -> None:
        cell = self.make_cell()
        for field in ('database_connection', 'transport_url'):
            for text in ('nonsense', 'nosuch://host/x', ''):
                error = self.assertRaises(exception.InvalidURL, self.make_cell, **{field: text})
                self.assertIn(field, str(error))
                setattr(cell, field, text)
                self.assertRaises(exception.InvalidURL, cell.save)
        cell = objects.CellMapping.get_by_uuid(self.context, cell.uuid)
        self.assertEqual(('none:///',) * 2, (cell.database_connection, cell.transport_url))
        self.assertEqual(1, len(objects.CellMappingList.get_all(self.context)))

    def test_a_name_that_changes_what_is_shown_is_refused(self) -> None:
        cell = self.make_cell(name='good')
        for name in samples.ODD_TEXTS:
            self.assertRaises(exception.InvalidInput, self.make_cell, name=name)
            cell.name = name
            self.assertRaises(exception.InvalidInput, cell.save)
        self.assertEqual(
            ['good'], [each.name for each in objects.CellMappingList.get_all(self.context)]
        )

    def test_what_the_database_sets_cannot_be_given(self) -> None:
        self.assertRaises(exception.ObjectActionError, self.make_cell, id=7)

    def test_a_save_stores_what_was_changed_and_no_more(self) -> None:
        cell = self.make_cell(name='old')
        behind = objects.CellMapping.get_by_uuid(self.context, cell.uuid)
        cell.disabled = True
        cell.save()
        behind.name = 'new'
        behind.save()
        self.assertEqual(('new', True), (behind.name, behind.disabled))
        self.assertEqual(set(), behind.obj_what_changed())

    def test_what_names_a_missing_cell_says_so(self) -> None:
        cell = self.make_cell()
        cell.destroy()
        for call in (
            cell.destroy,
            cell.save,
            lambda: objects.CellMapping.get_by_uuid(self.context, cell.uuid),
            lambda: objects.CellMapping.get_by_uuid(self.context, 'no uuid'),
            lambda: objects.CellMapping.get_by_name(self.context, 'nobody'),
        ):
            self.assertRaises(exception.CellMappingNotFound, call)

    def test_a_taken_name_is_refused(self) -> None:
        self.make_cell(name='one')
        other = self.make_cell(name='two')
        self.assertRaises(exception.CellMappingExists, self.make_cell, name='one')
        other.name = 'one'
        self.assertRaises(exception.CellMappingExists, other.save)

    def test_a_cell_in_use_stays(self) -> None:
        cell = self.make_cell()
        self.make_mapping(cell_mapping=cell)
        self.assertRaises(exception.CellMappingInUse, cell.destroy)

    def test_cell0_is_known_by_its_uuid(self) -> None:
        zero = self.make_cell(uuid=objects.CellMapping.CELL0_UUID)
        self.assertTrue(zero.is_cell0())
        self.assertFalse(self.make_cell().is_cell0())
        self.assertFalse(objects.CellMapping().is_cell0())

    def test_passwords_are_not_shown(self) -> None:
        cell = self.make_cell(
            transport_url='rabbit://u:hush@one,u:hush@two/',
            database_connection='mysql://u:hush@h/d',
        )
        for shown in (repr(cell), str(cell), repr([cell]), f'{cell}'):
            self.assertNotIn('hush', shown)
            self.assertIn('***', shown)


@base.on_both_schemas
class Templates(base.TestCase):
    def make_conf(self) -> cfg.ConfigOpts:
        conf = super().make_conf()
        conf.set_override('connection', 'mysql+pymysql://u:p%40ss@[::1]/nova', group='database')
        conf.set_override('transport_url', 'rabbit://a:b@one:1,c:d@two:2/vhost')
        return conf

    def test_a_template_is_filled_where_it_is_loaded_and_kept_where_it_is_stored(self) -> None:
        template = '{scheme}://{username}:{password}@{hostname}:{port}/nova_cell1'
        queue = 'rabbit://{username2}:{password2}@{hostname2}:{port2}/{path}'
        cell = self.make_cell(name='x', database_connection=template, transport_url=queue)
        self.assertEqual('mysql+pymysql://u:p%40ss@[::1]/nova_cell1', cell.database_connection)
        self.assertEqual('rabbit://c:d@two:2/vhost', cell.transport_url)
        cell.name = 'y'
        cell.save()
        [row] = self.execute(self.cell_table.select())
        self.assertEqual((template, queue), (row.database_connection, row.transport_url))

    def test_a_template_that_cannot_be_filled_hides_no_other_cell(self) -> None:
        self.make_cell(name='wrong', transport_url='rabbit://{username9}@x/')
        self.make_cell(name='right')
        cells = objects.CellMappingList.get_all(self.context)
        self.assertEqual(['wrong', 'right'], [cell.name for cell in cells])
        self.assertEqual('rabbit://{username9}@x/', cells[0].transport_url)


@base.straight_and_through_the_conductor
class Cells(base.TestCase):
    def test_lists(self) -> None:
        cells = [self.make_cell(disabled=number == 1) for number in range(3)]
        for number in (2, 0):
            self.make_mapping(cell_mapping=cells[number], project_id='mine')
        listed = objects.CellMappingList
        for expected, found in (
            ([0, 1, 2], listed.get_all(self.context)),
            ([1], listed.get_all(self.context, limit=1, marker=cells[0].uuid)),
            ([1], listed.get_by_disabled(self.context, True)),
            ([0, 2], listed.get_by_disabled(self.context, False)),
            ([0, 2], listed.get_by_project_id(self.context, 'mine')),
            ([2], listed.get_by_project_id(self.context, 'mine', marker=cells[0].uuid)),
            ([], listed.get_by_project_id(self.context, 'theirs')),
        ):
            self.assertEqual([cells[number].uuid for number in expected], [c.uuid for c in found])
            self.assertEqual(set(), found.obj_what_changed())

    def test_a_marker_must_be_in_the_list(self) -> None:
        cell = self.make_cell(disabled=True)
        self.assertRaises(
            exception.MarkerNotFound,
            objects.CellMappingList.get_by_disabled,
            self.context,
            False,
            marker=cell.uuid,
        )

    def test_a_project_must_be_named(self) -> None:
        self.assertRaises(
            exception.InvalidInput, objects.CellMappingList.get_by_project_id, self.context, None
        )


class _Two(base.TestCase):
    """A flag that somebody has set to 2 by hand: PostgreSQL alone has a type for flags."""

    def test_a_two_is_disabled_as_it_reads(self) -> None:
        uuid = self.make_cell().uuid
        # As somebody may write it by hand.
        self.execute(sa.text(f'UPDATE {self.cell_table.name} SET disabled = 2'))
        listed = objects.CellMappingList
        self.assertEqual([True], [cell.disabled for cell in listed.get_all(self.context)])
        for disabled, expected in ((True, [uuid]), (False, [])):
            found = listed.get_by_disabled(self.context, disabled)
            self.assertEqual(expected, [cell.uuid for cell in found])


class TwoSqlite(_Two):
    kind = 'sqlite'


class TwoMariadb(_Two):
    kind = 'mariadb'


class TwoNovaSqlite(_Two):
    kind, schema = 'sqlite', 'nova'


class TwoNovaMariadb(_Two):
    kind, schema = 'mariadb', 'nova'


class TwoConductorSqlite(_Two):
    kind, through_conductor = 'sqlite', True
