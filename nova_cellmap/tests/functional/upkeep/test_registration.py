# SPDX-License-Identifier: Apache-2.0
"""Making, changing and removing cells."""

from collections.abc import Callable
import functools
from typing import Any

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import registration

_SECRET = 'sekret'
_DATABASE = 'mysql+pymysql://nova:sekret@db:3306/nova_cell2'
_QUEUE = 'rabbit://nova:sekret@mq:5672/cell2'
_DATABASE_TEMPLATE = '{scheme}://{username}:{password}@{hostname}:{port}/nova_cell2'
_QUEUE_TEMPLATE = '{scheme}://{username}:{password}@{hostname}:{port}/cell2'


class _Case(cells_base.TestCase):
    def make_conf(self) -> cfg.ConfigOpts:
        conf = super().make_conf()
        conf.set_override('connection', 'mysql+pymysql://nova:sekret@db:3306/nova', 'database')
        conf.set_override('transport_url', 'rabbit://nova:sekret@mq:5672/')
        return conf

    def create(self, **values: Any) -> CellMapping:
        urls = {'database_connection': 'none:///', 'transport_url': 'none:///'}
        return registration.create_cell(self.context, self.conf, **{**urls, **values})

    def update(self, cell: CellMapping | None = None, **changes: Any) -> CellMapping:
        return registration.update_cell(self.context, self.conf, cell or self.cell, **changes)

    def delete(self, cell: CellMapping | None = None, **options: Any) -> int:
        return registration.delete_cell(self.context, cell or self.cell, **options)

    def map_cell0(self, connection: str | None = None) -> tuple[CellMapping, bool]:
        return registration.map_cell0(self.context, self.conf, connection)

    def row(self, cell: CellMapping) -> Any:
        """The cell as it is stored, its URLs not filled."""
        table = self.cell_table
        [row] = self.execute(table.select().where(table.c.uuid == cell.uuid))
        return row._mapping

    def cells(self) -> int:
        return len(self.execute(self.cell_table.select()))

    def assert_refused(
        self, kind: type[Exception], call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> str:
        """It raises and tells no password; its message."""
        message = str(self.assertRaises(kind, functools.partial(call, *args, **kwargs)))
        self.assertNotIn(_SECRET, message)
        return message

    assert_exists = functools.partialmethod(assert_refused, exception.CellMappingExists)
    assert_invalid = functools.partialmethod(assert_refused, exception.InvalidURL)


@base.on_both_schemas
class GetCell(_Case):
    def test_a_cell_is_found_by_uuid_or_name(self) -> None:
        for spelling in (self.cell.uuid, self.cell.uuid.upper(), 'cell1'):
            self.assertEqual(
                self.cell.uuid, registration.get_cell(self.context, spelling).uuid, spelling
            )

    def test_a_uuid_that_is_none(self) -> None:
        """Somebody may have written it by hand."""
        is_it = self.cell_table.c.uuid == self.cell.uuid
        self.execute(self.cell_table.update().where(is_it).values(uuid='cell-two'))
        for spelling in ('cell-two', 'cell1'):
            found = registration.get_cell(self.context, spelling)
            self.assertEqual('cell-two', found.uuid, spelling)
        self.assertRaises(
            exception.CellMappingNotFound, registration.get_cell, self.context, 'cell-three'
        )

    def test_a_name_that_looks_like_a_uuid(self) -> None:
        name = base.new_uuid()
        cell = self.make_cell(name=name)
        self.assertEqual(cell.uuid, registration.get_cell(self.context, name).uuid)

    def test_a_uuid_comes_before_a_name(self) -> None:
        self.make_cell(name=self.cell.uuid)
        self.assertEqual('cell1', registration.get_cell(self.context, self.cell.uuid).name)

    def test_what_is_neither_is_not_found(self) -> None:
        for text in (base.new_uuid(), 'CELL1', ''):
            self.assert_refused(
                exception.CellMappingNotFound, registration.get_cell, self.context, text
            )


@base.on_both_schemas
class CreateCell(_Case):
    def test_a_cell_is_stored_as_it_was_given(self) -> None:
        cell = self.create(
            name='cell2', database_connection=_DATABASE, transport_url=_QUEUE, disabled=True
        )
        row = self.row(cell)
        self.assertEqual(
            ('cell2', _DATABASE, _QUEUE, True),
            (row['name'], row['database_connection'], row['transport_url'], row['disabled']),
        )

    def test_urls_default_to_those_in_the_options(self) -> None:
        row = self.row(self.create(database_connection=None, transport_url=None))
        self.assertEqual(self.conf.database.connection, row['database_connection'])
        self.assertEqual(self.conf.transport_url, row['transport_url'])

    def test_a_url_that_is_neither_given_nor_in_the_options(self) -> None:
        self.conf.clear_override('connection', 'database')
        self.conf.clear_override('transport_url')
        message = self.assert_invalid(self.create, database_connection=None)
        self.assertIn('--database_connection', message)
        # oslo.messaging's own default.
        self.conf.set_override('transport_url', '')
        message = self.assert_invalid(self.create, transport_url=None)
        self.assertIn('--transport-url', message)

    def test_templates_are_stored_as_such(self) -> None:
        urls = {'database_connection': _DATABASE_TEMPLATE, 'transport_url': _QUEUE_TEMPLATE}
        cell = self.create(**urls)
        self.assertEqual((_DATABASE, _QUEUE), (cell.database_connection, cell.transport_url))
        row = self.row(cell)
        self.assertEqual(urls, {name: row[name] for name in urls})

    def test_urls_that_cannot_be_used_are_refused(self) -> None:
        for urls in (
            {'database_connection': 'nova_cell2'},
            {'database_connection': 'nosuch://nova:sekret@db/x'},
            {'database_connection': 'mysql+pymysql://nova:sekret@db:port/x'},
            {'database_connection': '{scheme}://nova:sekret@{hostname7}/x'},
            {'transport_url': 'mq'},
            {'transport_url': 'rabbit://nova:sekret@mq:port/'},
            {'transport_url': 'rabbit://nova:sekret@{hostname7}/'},
        ):
            self.assert_invalid(self.create, **urls)
        self.assertEqual(1, self.cells())

    def test_a_name_is_given_once(self) -> None:
        self.assertIn('cell1', self.assert_exists(self.create, name='cell1'))

    def test_a_url_is_given_once_be_it_filled_or_a_template(self) -> None:
        self.create(database_connection=_DATABASE, transport_url=_QUEUE)
        for urls in (
            {'database_connection': _DATABASE},
            {'database_connection': _DATABASE_TEMPLATE},
            {'transport_url': _QUEUE},
            {'transport_url': _QUEUE_TEMPLATE},
        ):
            self.assert_exists(self.create, **urls)
        self.assertEqual(2, self.cells())

    def test_many_cells_may_have_no_name_no_database_and_no_queue(self) -> None:
        self.create()
        self.create()


@base.on_both_schemas
class UpdateCell(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.urls = {'database_connection': _DATABASE_TEMPLATE, 'transport_url': _QUEUE_TEMPLATE}
        self.templated = self.make_cell(name='cell2', **self.urls)

    def test_what_is_not_named_stays(self) -> None:
        changes: tuple[dict[str, Any], ...] = (
            {'name': 'cell3'},
            {'disabled': True},
            {'transport_url': 'none:///'},
            {'database_connection': 'none:///'},
        )
        for change in changes:
            before = self.row(self.templated)
            loaded = registration.get_cell(self.context, self.templated.uuid)
            self.update(loaded, **change)
            after = self.row(self.templated)
            self.assertIsNotNone(after['updated_at'])
            self.assertEqual(
                {**before, **change, 'updated_at': None}, {**after, 'updated_at': None}
            )

    def test_a_cell_may_keep_its_own_name_and_urls(self) -> None:
        self.update(self.templated, name='cell2', database_connection=_DATABASE)
        self.assertEqual(_DATABASE, self.row(self.templated)['database_connection'])

    def test_the_name_and_the_urls_of_others_are_refused(self) -> None:
        before = self.row(self.cell)
        for change in ({'name': 'cell2'}, {'database_connection': _DATABASE}):
            self.assert_exists(self.update, **change)
        self.assert_exists(self.update, transport_url=_QUEUE)
        self.assertEqual(before, self.row(self.cell))

    def test_a_url_that_cannot_be_used_changes_nothing(self) -> None:
        before = self.row(self.cell)
        self.assert_invalid(self.update, name='new', transport_url='rabbit://n:sekret@mq:port')
        self.assertEqual(before, self.row(self.cell))

    def test_cell0_can_be_enabled_and_not_disabled(self) -> None:
        cell0, _ = self.map_cell0('none:///')
        self.assert_refused(
            exception.Cell0CannotBeDisabled, self.update, cell0, disabled=True, name='new'
        )
        self.update(cell0, disabled=False)
        self.assertEqual(('cell0', False), (cell0.name, cell0.disabled))


@base.on_both_schemas
class MapCell0(_Case):
    def test_its_database_is_named_after_the_one_in_the_options(self) -> None:
        cell, is_new = self.map_cell0()
        self.assertTrue(is_new and cell.is_cell0())
        self.assertEqual(
            ('cell0', 'none:///', f'{self.conf.database.connection}_cell0'),
            (cell.name, cell.transport_url, cell.database_connection),
        )

    def test_mapping_it_again_changes_nothing(self) -> None:
        before = self.row(self.map_cell0(_DATABASE)[0])
        cell, is_new = self.map_cell0('mysql+pymysql://other/x')
        self.assertFalse(is_new)
        self.assertEqual(before, self.row(cell))

    def test_a_template_is_stored_as_such(self) -> None:
        cell, _ = self.map_cell0(_DATABASE_TEMPLATE)
        self.assertEqual(_DATABASE_TEMPLATE, self.row(cell)['database_connection'])

    def test_urls_that_cannot_be_used_are_refused(self) -> None:
        self.assert_invalid(self.map_cell0, 'nosuch://nova:sekret@db/x')
        self.conf.set_override('connection', 'nosuch://nova:sekret@db/x', 'database')
        self.assert_invalid(self.map_cell0)
        self.conf.clear_override('connection', 'database')
        self.assert_invalid(self.map_cell0)

    def test_another_cells_name_or_database_is_refused(self) -> None:
        self.make_cell(name='cell0', database_connection=_DATABASE)
        self.assert_exists(self.map_cell0, _DATABASE)
        self.assert_exists(self.map_cell0)


@base.on_both_schemas
class DeleteCell(_Case):
    def map(self, cell: CellMapping, count: int = 1) -> None:
        rows = [
            {'instance_uuid': base.new_uuid(), 'project_id': 'p', 'cell_uuid': cell.uuid}
            for _ in range(count)
        ]
        self.execute(self.mapping_table.insert().values(rows))

    def unreachable(self) -> CellMapping:
        url = f'sqlite:///{self.getUniqueString()}.sqlite'
        return self.make_cell(name='lost', database_connection=url)

    def test_an_empty_cell_is_removed(self) -> None:
        self.assertEqual(0, self.delete())
        self.assertEqual(0, self.cells())

    def test_a_cell_with_live_instances_is_not_even_with_force(self) -> None:
        for values in ({}, {'vm_state': 'soft-delete'}, {'hidden': True}, {'deleted': None}):
            nova_cell.add(self.nova, **values)
            for force in (False, True):
                self.assert_refused(exception.CellHasInstances, self.delete, force=force)
            cells_base.empty(self.nova)

    def test_mappings_of_deleted_instances_go_only_with_force(self) -> None:
        nova_cell.add(self.nova, deleted=1)
        other = self.make_cell(name='other')
        self.map(other)
        self.map(self.cell, 1001)
        self.assert_refused(exception.CellHasMappings, self.delete)
        self.assertEqual(1001, self.delete(force=True))
        self.assertEqual([other.uuid], list(self.mapped().values()))

    def test_a_cell_with_mappings_that_cannot_be_asked_is_kept(self) -> None:
        lost, odd = (
            self.unreachable(),
            self.make_cell(name='odd', database_connection=cells_base.url_of(self.new_database())),
        )
        for cell in (lost, odd):
            self.map(cell)
            for force in (False, True):
                message = self.assert_refused(
                    exception.CellCannotBeAsked, self.delete, cell, force=force
                )
                self.assertIn('--unasked', message)

    def test_a_cell_without_mappings_that_cannot_be_asked_is_removed(self) -> None:
        self.assertEqual(0, self.delete(self.unreachable()))

    def test_a_cell_without_a_database_cannot_say_what_lives(self) -> None:
        cell = self.make_cell(name='none')
        self.map(cell)
        for force in (False, True):
            message = self.assert_refused(
                exception.CellCannotBeAsked, self.delete, cell, force=force
            )
            self.assertIn('it has none', message)
        self.assertEqual(1, len(self.mapped()))
        self.assertEqual(1, self.delete(cell, unasked=True))

    def test_a_cell_that_can_be_asked_is_asked(self) -> None:
        nova_cell.add(self.nova)
        self.map(self.cell)
        self.assert_refused(exception.CellHasInstances, self.delete, unasked=True)

    def test_a_template_that_nothing_fills_cannot_say_what_lives(self) -> None:
        cell = self.make_cell(
            name='t', database_connection='mysql+pymysql://nova:sekret@{hostname9}/nova'
        )
        self.map(cell)
        self.assert_refused(exception.CellCannotBeAsked, self.delete, cell, force=True)

    def test_an_empty_database_may_be_another_one(self) -> None:
        self.map(self.cell)
        message = self.assert_refused(exception.CellCannotBeAsked, self.delete, force=True)
        self.assertIn('no instances at all', message)
        # All archived, and the mappings say so.
        self.execute(self.mapping_table.update().values(queued_for_delete=True))
        self.assertEqual(1, self.delete(force=True))

    def test_the_resume_point_goes_with_the_cell(self) -> None:
        uuid = self.cell.uuid
        db_api.instance_mapping_map_batch(self.context, uuid, [], last_instance_id=7)
        self.assertIsNotNone(db_api.map_progress_get(self.context, uuid))
        self.delete()
        self.assertIsNone(db_api.map_progress_get(self.context, uuid))
