# SPDX-License-Identifier: Apache-2.0
"""The function layer, on each kind of database."""

from collections.abc import Callable, Sequence
import concurrent.futures
import contextlib
import datetime
import functools
import gc
import os
import threading
from typing import Any
from unittest import mock

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa
import testtools

import nova_cellmap
from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import transaction
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base


def at_once(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Call *function* with 0, 1, ... in as many threads, all let go at one moment.

    What it raises is its answer.
    """
    barrier = threading.Barrier(count)

    def call(number: int) -> Any:
        barrier.wait()
        try:
            return function(number)
        except exception.CellMapError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


class _Case(base.TestCase):
    def cell(self, **values: Any) -> str:
        uuid = base.new_uuid()
        urls = {'transport_url': 'none:///', 'database_connection': 'none:///'}
        api.cell_mapping_create(self.context, {'uuid': uuid, **urls, **values})
        return uuid

    def map(self, **values: Any) -> str:
        row = self.values(**values)
        api.instance_mapping_create(self.context, row)
        return str(row['instance_uuid'])

    def values(self, **values: Any) -> dict[str, Any]:
        return {'instance_uuid': base.new_uuid(), 'project_id': 'p', 'user_id': 'u', **values}

    def uuids(self, rows: Sequence[api.Row]) -> list[str]:
        return [row['instance_uuid'] for row in rows]


@base.on_both_schemas
class Cells(_Case):
    def test_a_created_cell_is_found_by_uuid_and_by_name(self) -> None:
        uuid = self.cell(name='één ☁', disabled=True)
        row = api.cell_mapping_get_by_uuid(self.context, uuid)
        self.assertEqual(row, api.cell_mapping_get_by_name(self.context, 'één ☁'))
        self.assertEqual(set(own.cell_mapping.c.keys()), set(row))
        self.assertIs(True, row['disabled'])
        self.assertIsNotNone(row['created_at'])
        self.assertIsNone(row['updated_at'])

    def test_names_are_compared_exactly(self) -> None:
        for name in ('cell', 'Cell', 'cell ', 'céll'):
            self.cell(name=name)
        row = api.cell_mapping_get_by_name(self.context, 'Cell')
        self.assertEqual('Cell', row['name'])
        for name in ('CELL', 'cell  ', ' cell'):
            self.assertRaises(
                exception.CellMappingNotFound, api.cell_mapping_get_by_name, self.context, name
            )

    def test_a_taken_uuid_or_name_is_told_apart(self) -> None:
        uuid = self.cell(name='one')
        other = self.cell()
        error = self.assertRaises(exception.CellMappingExists, self.cell, uuid=uuid)
        self.assertEqual('uuid', error.kwargs['what'])
        error = self.assertRaises(exception.CellMappingExists, self.cell, name='one')
        self.assertIn('name one', str(error))
        self.assertRaises(
            exception.CellMappingExists,
            api.cell_mapping_update,
            self.context,
            other,
            {'name': 'one'},
        )

    def test_several_cells_may_have_no_name(self) -> None:
        self.cell()
        self.cell()
        self.assertEqual(2, len(api.cell_mapping_get_all(self.context)))

    def test_an_update_changes_what_it_names_and_nothing_else(self) -> None:
        uuid = self.cell(name='old', transport_url='rabbit://a:b@c/{query}')
        before = api.cell_mapping_get_by_uuid(self.context, uuid)
        after = api.cell_mapping_update(self.context, uuid, {'name': 'new'})
        self.assertIsNotNone(after.pop('updated_at'))
        self.assertEqual({**before, 'name': 'new'}, {**after, 'updated_at': None})

    def test_what_names_a_missing_cell_says_so(self) -> None:
        missing = base.new_uuid()
        for call in (
            functools.partial(api.cell_mapping_get_by_uuid, self.context, missing),
            functools.partial(api.cell_mapping_get_by_name, self.context, missing),
            functools.partial(api.cell_mapping_update, self.context, missing, {'name': 'x'}),
            functools.partial(api.cell_mapping_destroy, self.context, missing),
        ):
            error = self.assertRaises(exception.CellMappingNotFound, call)
            self.assertIn(missing, str(error))

    def test_a_cell_with_mappings_cannot_be_destroyed(self) -> None:
        cell = self.cell()
        instance = self.map(cell_uuid=cell)
        self.assertRaises(exception.CellMappingInUse, api.cell_mapping_destroy, self.context, cell)
        api.instance_mapping_destroy(self.context, instance)
        api.cell_mapping_destroy(self.context, cell)
        self.assertEqual([], api.cell_mapping_get_all(self.context))

    def test_cells_come_in_pages_in_the_order_of_creation(self) -> None:
        cells = [self.cell(disabled=number % 2 == 0) for number in range(5)]
        rows = api.cell_mapping_get_all(self.context, limit=2, marker=cells[1])
        self.assertEqual(cells[2:4], [row['uuid'] for row in rows])
        rows = api.cell_mapping_get_all(self.context, disabled=True, marker=cells[0])
        self.assertEqual([cells[2], cells[4]], [row['uuid'] for row in rows])
        self.assertRaises(
            exception.MarkerNotFound,
            api.cell_mapping_get_all,
            self.context,
            disabled=False,
            marker=cells[0],
        )

    def test_the_cells_of_a_project(self) -> None:
        one, _, three = self.cell(), self.cell(), self.cell()
        for cell in (three, one, one, None):
            self.map(cell_uuid=cell, project_id='mine')
        rows = api.cell_mapping_get_by_project_id(self.context, 'mine')
        self.assertEqual([one, three], [row['uuid'] for row in rows])
        rows = api.cell_mapping_get_by_project_id(self.context, 'mine', limit=1, marker=one)
        self.assertEqual([three], [row['uuid'] for row in rows])

    def test_removing_a_cell_removes_its_resume_point(self) -> None:
        cell = self.cell()
        api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7)
        api.cell_mapping_destroy(self.context, cell)
        self.assertIsNone(api.map_progress_get(self.context, cell))

    def new(self, **values: Any) -> dict[str, Any]:
        urls = {'transport_url': 'none:///', 'database_connection': 'none:///'}
        return {'uuid': base.new_uuid(), **urls, **values}

    def add(self, *cells: dict[str, Any]) -> api.CellBulkResult:
        return api.cell_mapping_create_bulk(self.context, cells)

    def names(self) -> list[str | None]:
        return [row['name'] for row in api.cell_mapping_get_all(self.context)]

    def test_many_are_created_and_what_stands_is_left(self) -> None:
        created_at = datetime.datetime(2020, 2, 29, 12, 30, 59)
        cells = [self.new(name='a', created_at=created_at), self.new(), self.new(disabled=True)]
        self.assertEqual(3, self.add(*cells)['created'])
        row = api.cell_mapping_get_by_name(self.context, 'a')
        self.assertEqual(created_at, row['created_at'])
        again = [{**cell, 'disabled': True} for cell in cells]
        expected = {'created': 1, 'existing': 3, 'different': {}, 'taken': {}}
        self.assertEqual(expected, self.add(*again, self.new(name='b')))
        self.assertFalse(api.cell_mapping_get_by_name(self.context, 'a')['disabled'])

    def test_of_many_those_that_stand_otherwise_are_told_apart(self) -> None:
        here = self.new(name='a', database_connection='sqlite:///a')
        self.add(here)
        same_name, same_place = self.new(name='a'), self.new(database_connection='sqlite:///a')
        different = {**here, 'name': 'b', 'transport_url': 'fake:///'}
        result = self.add(different, same_name, same_place, self.new())
        self.assertEqual({here['uuid']: ['name', 'transport_url']}, result['different'])
        expected = {same_name['uuid']: 'name', same_place['uuid']: 'database_connection'}
        expected_taken = {uuid: (column, here['uuid']) for uuid, column in expected.items()}
        self.assertEqual(expected_taken, result['taken'])
        self.assertEqual(['a', None], self.names())

    def test_of_many_the_first_of_a_name_is_created(self) -> None:
        first, second = self.new(name='a'), self.new(name='a')
        result = self.add(first, second, first)
        self.assertEqual((1, 1), (result['created'], result['existing']))
        self.assertEqual({second['uuid']: ('name', first['uuid'])}, result['taken'])

    def test_of_many_all_or_none_are_created(self) -> None:
        for bad in ({'name': 'x' * 256}, {'transport_url': None}, {'unknown': 1}):
            cells = (self.new(name='good'), self.new(**bad))
            self.assertRaises(exception.InvalidInput, self.add, *cells)
        self.assertEqual([], self.names())

    def test_many_at_once_by_several_writers(self) -> None:
        cells = [self.new(name=f'cell{number}') for number in range(4)]
        results = at_once(4, lambda number: self.add(*cells))
        self.assertEqual(4, sum(result['created'] for result in results))
        self.assertEqual(12, sum(result['existing'] for result in results))


@base.on_both_schemas
class Mappings(_Case):
    def test_a_mapping_is_found_with_its_cell(self) -> None:
        cell = self.cell(name='here')
        uuid = self.map(cell_uuid=cell, queued_for_delete=True)
        row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        self.assertEqual({*own.instance_mapping.c.keys(), 'cell_mapping'}, set(row))
        self.assertEqual(api.cell_mapping_get_by_uuid(self.context, cell), row['cell_mapping'])
        self.assertEqual((uuid, cell, 'p', 'u'), tuple(row[name] for name in _KEY_COLUMNS))
        self.assertIs(True, row['queued_for_delete'])

    def test_a_mapping_to_no_cell(self) -> None:
        row = api.instance_mapping_get_by_instance_uuid(self.context, self.map())
        self.assertIsNone(row['cell_uuid'])
        self.assertIsNone(row['cell_mapping'])

    def test_an_instance_is_mapped_once(self) -> None:
        uuid = self.map()
        error = self.assertRaises(exception.InstanceMappingExists, self.map, instance_uuid=uuid)
        self.assertIn(uuid, str(error))

    def test_a_mapping_to_a_missing_cell_is_refused(self) -> None:
        missing = base.new_uuid()
        uuid = self.map()
        error = self.assertRaises(exception.CellMappingNotFound, self.map, cell_uuid=missing)
        self.assertIn(missing, str(error))
        for call in (
            functools.partial(
                api.instance_mapping_update, self.context, uuid, {'cell_uuid': missing}
            ),
            functools.partial(
                api.instance_mapping_create_bulk,
                self.context,
                [self.values(cell_uuid=missing)],
            ),
            functools.partial(
                api.instance_mapping_map_batch,
                self.context,
                missing,
                [self.values()],
                last_instance_id=1,
            ),
        ):
            self.assertRaises(exception.CellMappingNotFound, call)

    def test_an_update_changes_what_it_names_and_nothing_else(self) -> None:
        uuid = self.map(cell_uuid=self.cell())
        before = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        after = api.instance_mapping_update(self.context, uuid, {'queued_for_delete': True})
        self.assertIsNotNone(after['updated_at'])
        self.assertEqual(
            {**before, 'queued_for_delete': True}, {**after, 'updated_at': before['updated_at']}
        )

    def test_an_update_expects_a_cell(self) -> None:
        one, two = self.cell(), self.cell()
        uuid = self.map()
        move = functools.partial(api.instance_mapping_update, self.context, uuid)
        move({'cell_uuid': one}, expected_cell_uuid=None)
        error = self.assertRaises(
            exception.InstanceMappingConflict, move, {'cell_uuid': two}, expected_cell_uuid=None
        )
        self.assertEqual(one, error.cell_uuid)
        row = move({'cell_uuid': two}, expected_cell_uuid=one)
        self.assertEqual(two, row['cell_mapping']['uuid'])
        self.assertIsNone(move({'cell_uuid': None})['cell_uuid'])

    def test_of_many_writers_that_expect_one_cell_exactly_one_wins(self) -> None:
        cells = [self.cell() for _ in range(8)]
        uuid = self.map()

        def move(number: int) -> Any:
            return api.instance_mapping_update(
                context.get_admin_context(),
                uuid,
                {'cell_uuid': cells[number]},
                expected_cell_uuid=None,
            )

        answers = at_once(8, move)
        [winner] = [answer for answer in answers if isinstance(answer, dict)]
        losers = [answer for answer in answers if not isinstance(answer, dict)]
        self.assertEqual(
            [winner['cell_uuid']] * 7,
            [
                loser.cell_uuid
                for loser in losers
                if isinstance(loser, exception.InstanceMappingConflict)
            ],
        )

    def test_what_names_a_missing_mapping_says_so(self) -> None:
        missing = base.new_uuid()
        for call in (
            functools.partial(api.instance_mapping_get_by_instance_uuid, self.context, missing),
            functools.partial(
                api.instance_mapping_update, self.context, missing, {'project_id': 'x'}
            ),
            functools.partial(
                api.instance_mapping_update,
                self.context,
                missing,
                {'cell_uuid': None},
                expected_cell_uuid=None,
            ),
            functools.partial(api.instance_mapping_destroy, self.context, missing),
        ):
            error = self.assertRaises(exception.InstanceMappingNotFound, call)
            self.assertIn(missing, str(error))

    def test_a_mapping_can_be_destroyed_once(self) -> None:
        uuid = self.map()
        answers = at_once(
            4, lambda _: api.instance_mapping_destroy(context.get_admin_context(), uuid)
        )
        self.assertEqual(1, answers.count(None))

    def test_times_are_whole_seconds_of_utc(self) -> None:
        row = api.instance_mapping_get_by_instance_uuid(self.context, self.map())
        self.assertEqual(0, row['created_at'].microsecond)
        self.assertIsNone(row['created_at'].tzinfo)


_KEY_COLUMNS = ('instance_uuid', 'cell_uuid', 'project_id', 'user_id')


@base.on_both_schemas
class Lists(_Case):
    def test_filters(self) -> None:
        one, two = self.cell(), self.cell()
        a = self.map(cell_uuid=one, project_id='a')
        b = self.map(cell_uuid=two, project_id='a', queued_for_delete=True)
        c = self.map(cell_uuid=one, project_id='b')
        d = self.map(project_id='a')
        listed = functools.partial(api.instance_mapping_get_all, self.context)
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({}, [a, b, c, d]),
            ({'project_id': 'a'}, [a, b, d]),
            ({'cell_uuid': one}, [a, c]),
            ({'cell_uuid': two, 'project_id': 'a'}, [b]),
            ({'project_id': 'a', 'include_queued_for_delete': False}, [a, d]),
            ({'project_id': 'A'}, []),
            ({'project_id': 'a '}, []),
        ]
        for filters, expected in cases:
            self.assertEqual(expected, self.uuids(listed(**filters)), str(filters))

    def test_a_list_shares_the_rows_of_its_cells(self) -> None:
        cells = [self.cell(), self.cell()]
        for number in range(6):
            self.map(cell_uuid=cells[number % 2])
        rows = api.instance_mapping_get_all(self.context)
        self.assertEqual(cells * 3, [row['cell_mapping']['uuid'] for row in rows])
        self.assertEqual(2, len({id(row['cell_mapping']) for row in rows}))

    def test_by_the_id_of_a_cell(self) -> None:
        cell = self.cell()
        self.map()
        first, second = self.map(cell_uuid=cell), self.map(cell_uuid=cell)
        cell_id = api.cell_mapping_get_by_uuid(self.context, cell)['id']
        get = functools.partial(api.instance_mapping_get_by_cell_id, self.context)
        self.assertEqual([first, second], self.uuids(get(cell_id)))
        self.assertEqual([second], self.uuids(get(cell_id, marker=first)))
        self.assertEqual([], get(cell_id + 1000))

    def test_any_number_of_uuids(self) -> None:
        there = [self.values() for _ in range(2500)]
        api.instance_mapping_create_bulk(self.context, there)
        uuids = [row['instance_uuid'] for row in there]
        asked = [*reversed(uuids), *uuids[:10], *(base.new_uuid() for _ in range(700))]
        rows = api.instance_mapping_get_by_instance_uuids(self.context, asked)
        self.assertEqual(uuids, self.uuids(rows))
        page = api.instance_mapping_get_by_instance_uuids(
            self.context, asked, limit=3, marker=uuids[1999]
        )
        self.assertEqual(uuids[2000:2003], self.uuids(page))
        self.assertEqual([], api.instance_mapping_get_by_instance_uuids(self.context, []))

    def test_a_marker_must_be_in_the_very_list(self) -> None:
        mine, theirs = self.map(project_id='mine'), self.map(project_id='theirs')
        for call in (
            functools.partial(api.instance_mapping_get_all, project_id='mine', marker=theirs),
            functools.partial(api.instance_mapping_get_all, marker=base.new_uuid()),
            functools.partial(api.instance_mapping_get_by_cell_id, cell_id=0, marker=mine),
            functools.partial(
                api.instance_mapping_get_by_instance_uuids,
                instance_uuids=[mine],
                marker=theirs,
            ),
        ):
            self.assertRaises(exception.MarkerNotFound, call, self.context)

    def test_a_limit_is_a_number_of_rows(self) -> None:
        self.map()
        for limit in (-1, True, 1.5, '1'):
            for call in (
                api.instance_mapping_get_all,
                functools.partial(
                    api.instance_mapping_get_by_instance_uuids, instance_uuids=['x']
                ),
            ):
                self.assertRaises(exception.InvalidInput, call, self.context, limit=limit)
        self.assertEqual([], api.instance_mapping_get_all(self.context, limit=0))

    def test_pages_neither_skip_nor_repeat(self) -> None:
        cell = self.cell()
        for number in range(23):
            self.map(project_id='ab'[number % 2], cell_uuid=[cell, None][number % 3 == 0])
        cases: list[dict[str, Any]] = [{}, {'project_id': 'a'}, {'cell_uuid': cell}]
        for filters in cases:
            get = functools.partial(api.instance_mapping_get_all, self.context, **filters)
            whole = get()
            for size in (1, 2, 7, 22, 23, 100):
                self.assertEqual(whole, self.in_pages(get, size))

    def in_pages(self, get: Callable[..., Sequence[api.Row]], size: int) -> list[api.Row]:
        rows: list[api.Row] = []
        while page := get(limit=size, marker=rows[-1]['instance_uuid'] if rows else None):
            self.assertLessEqual(len(page), size)
            rows += page
        return rows


@base.on_both_schemas
class Counts(_Case):
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


@base.on_both_schemas
class Bulk(_Case):
    def test_created_existing_and_conflicting_are_told_apart(self) -> None:
        one, two = self.cell(), self.cell()
        same = self.map(cell_uuid=one, project_id='untouched')
        other = self.map(cell_uuid=two)
        none = self.map()
        new = base.new_uuid()
        result = api.instance_mapping_create_bulk(
            self.context,
            [self.values(instance_uuid=uuid, cell_uuid=one) for uuid in (same, other, none, new)],
        )
        self.assertEqual(
            {'created': 1, 'existing': 1, 'conflicts': {other: two, none: None}}, result
        )
        self.assertEqual([same, new], self.uuids(self.all(cell_uuid=one)))
        self.assertEqual('untouched', self.all(cell_uuid=one)[0]['project_id'])

    def test_of_several_for_one_instance_the_first_counts(self) -> None:
        one, two = self.cell(), self.cell()
        uuid = base.new_uuid()
        result = api.instance_mapping_create_bulk(
            self.context,
            [self.values(instance_uuid=uuid, cell_uuid=cell) for cell in (one, one, two)],
        )
        self.assertEqual({'created': 1, 'existing': 1, 'conflicts': {uuid: one}}, result)

    def test_it_takes_more_than_fits_one_statement(self) -> None:
        rows = [self.values() for _ in range(5001)]
        result = api.instance_mapping_create_bulk(self.context, iter(rows), with_ids=True)
        ids = {row['instance_uuid']: row['id'] for row in self.all()}
        self.assertEqual({'created': 5001, 'existing': 0, 'conflicts': {}, 'ids': ids}, result)
        result = api.instance_mapping_create_bulk(self.context, rows)
        self.assertEqual({'created': 0, 'existing': 5001, 'conflicts': {}}, result)
        everyone = [row['instance_uuid'] for row in rows]
        self.assertEqual(everyone, self.uuids(self.all()))
        removed = api.instance_mapping_destroy_bulk(self.context, [*everyone, *everyone, 'x'])
        self.assertEqual(5001, removed)

    def test_ids_of_a_server_that_does_not_tell_them(self) -> None:
        rows = [self.values() for _ in range(1001)]
        dialect = engine.of().writer.dialect
        with mock.patch.object(dialect, 'insert_returning', False):
            result = api.instance_mapping_create_bulk(self.context, rows, with_ids=True)
        self.assertEqual({row['instance_uuid']: row['id'] for row in self.all()}, result['ids'])

    def test_all_that_is_said_of_each_is_kept(self) -> None:
        then = datetime.datetime(2020, 2, 29, 23, 59, 59)
        rows = [
            # Their columns stand in different orders.
            self.values(user_id='u', queued_for_delete=True, created_at=then),
            {'project_id': 'é\'"\\%s:x', 'instance_uuid': base.new_uuid()},
        ]
        api.instance_mapping_create_bulk(self.context, rows)
        first, second = self.all()
        self.assertEqual(
            ('u', True, then, None),
            tuple(
                first[name] for name in ('user_id', 'queued_for_delete', 'created_at', 'cell_uuid')
            ),
        )
        self.assertEqual(
            (rows[1]['project_id'], None, False),
            tuple(second[name] for name in ('project_id', 'user_id', 'queued_for_delete')),
        )
        self.assertEqual(rows[1]['instance_uuid'], second['instance_uuid'])

    def test_many_at_once_create_each_mapping_once(self) -> None:
        cell = self.cell()
        rows = [self.values(cell_uuid=cell) for _ in range(900)]

        def create(number: int) -> Any:
            # Each in an order of its own, so that they meet in the middle.
            mine = rows[number * 200 :] + rows[: number * 200]
            return api.instance_mapping_create_bulk(context.get_admin_context(), mine)

        results = at_once(4, create)
        self.assertEqual([900] * 4, [each['created'] + each['existing'] for each in results])
        self.assertEqual(900, sum(each['created'] for each in results))
        self.assertEqual(900, len(self.all()))

    def test_a_row_without_what_it_needs_is_refused_and_nothing_created(self) -> None:
        for bad in ({'project_id': None}, {'instance_uuid': None}, {'unknown': 1}, {'id': 1}):
            rows = [self.values(), self.values(**bad)]
            self.assertRaises(
                exception.InvalidInput, api.instance_mapping_create_bulk, self.context, rows
            )
        self.assertEqual([], self.all())

    def test_a_batch_and_its_resume_point_are_one(self) -> None:
        cell = self.cell()
        rows = [self.values(), self.values()]
        broken = [*rows, self.values(project_id='\ud800')]
        self.assertRaises(exception.InvalidInput, self.map_batch, cell, broken, last_instance_id=3)
        self.assertIsNone(api.map_progress_get(self.context, cell))
        self.map_batch(cell, rows, last_instance_id=2)
        self.map_batch(cell, [self.values()], last_instance_id=9, unmappable=4)
        self.assertEqual(
            {'last_instance_id': 9, 'conflicts': 4}, api.map_progress_get(self.context, cell)
        )
        api.map_progress_clear(self.context, cell)
        self.assertIsNone(api.map_progress_get(self.context, cell))
        self.assertEqual(3, len(self.all(cell_uuid=cell)))

    def test_a_batch_places_what_is_in_no_cell(self) -> None:
        cell, other = self.cell(), self.cell()
        unplaced, elsewhere = self.map(), self.map(cell_uuid=other)
        rows = [self.values(instance_uuid=uuid) for uuid in (unplaced, elsewhere)]
        result = self.map_batch(cell, rows, last_instance_id=2)
        self.assertEqual({'created': 1, 'existing': 0, 'conflicts': {elsewhere: other}}, result)
        self.assertEqual([unplaced], self.uuids(self.all(cell_uuid=cell)))
        progress = api.map_progress_get(self.context, cell)
        self.assertEqual({'last_instance_id': 2, 'conflicts': 1}, progress)

    def test_an_imported_batch_and_its_resume_point_are_one(self) -> None:
        cell = self.cell()
        rows = [self.values(cell_uuid=cell), self.values()]
        broken = [*rows, self.values(project_id='\ud800')]
        self.assertRaises(exception.InvalidInput, self.import_batch, broken, last_mapping_id=3)
        self.assertIsNone(api.import_progress_get(self.context, 's'))
        self.import_batch(rows, last_mapping_id=2)
        self.import_batch([self.values()], last_mapping_id=9, unmappable=4)
        self.assertEqual(
            {'last_mapping_id': 9, 'conflicts': 4}, api.import_progress_get(self.context, 's')
        )
        self.assertIsNone(api.import_progress_get(self.context, 'other'))
        api.import_progress_clear(self.context, 'other')
        self.assertIsNotNone(api.import_progress_get(self.context, 's'))
        api.import_progress_clear(self.context, 's')
        self.assertIsNone(api.import_progress_get(self.context, 's'))
        self.assertEqual(3, len(self.all()))

    def test_an_imported_batch_places_what_is_in_no_cell(self) -> None:
        cell, other = self.cell(), self.cell()
        unplaced, elsewhere, placed, missing = (
            self.map(),
            self.map(cell_uuid=other),
            self.map(cell_uuid=cell),
            base.new_uuid(),
        )
        rows = [
            self.values(instance_uuid=uuid, cell_uuid=cell)
            for uuid in (unplaced, elsewhere, missing)
        ]
        rows.append(self.values(instance_uuid=placed, cell_uuid=None))
        result = self.import_batch(rows, last_mapping_id=2)
        self.assertEqual({'created': 2, 'existing': 1, 'conflicts': {elsewhere: other}}, result)
        there = self.uuids(self.all(cell_uuid=cell))
        self.assertEqual([unplaced, placed, missing], there)

    def test_an_imported_batch_keeps_the_times_of_creation(self) -> None:
        created_at = datetime.datetime(2020, 2, 29, 12, 30, 59)
        self.import_batch(
            [self.values(created_at=created_at), self.values(created_at=None), self.values()],
            last_mapping_id=2,
        )
        times = [row['created_at'] for row in self.all()]
        self.assertEqual(created_at, times[0])
        self.assertTrue(all(times))

    def test_an_imported_batch_of_a_cell_that_is_not_there(self) -> None:
        rows = [self.values(cell_uuid=base.new_uuid())]
        self.assertRaises(
            exception.CellMappingNotFound, self.import_batch, rows, last_mapping_id=1
        )
        self.assertIsNone(api.import_progress_get(self.context, 's'))

    def all(self, **filters: Any) -> Sequence[api.Row]:
        return api.instance_mapping_get_all(self.context, **filters)

    def import_batch(self, rows: list[Any], **kwargs: Any) -> api.BulkResult:
        return api.instance_mapping_import_batch(self.context, rows, source='s', **kwargs)

    def map_batch(self, *args: Any, **kwargs: Any) -> api.BulkResult:
        return api.instance_mapping_map_batch(self.context, *args, **kwargs)


@base.on_both_schemas
class Values(_Case):
    """What goes in comes out, or is refused in our own words."""

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(st.text(max_size=300), st.text(max_size=300))
    def test_any_text(self, project_id: str, user_id: str) -> None:
        try:
            uuid = self.map(project_id=project_id, user_id=user_id)
        except exception.InvalidInput:
            return
        row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        self.assertEqual((project_id, user_id), (row['project_id'], row['user_id']))
        found = api.instance_mapping_get_all(self.context, project_id=project_id)
        self.assertEqual({project_id}, {row['project_id'] for row in found})
        self.assertIn(uuid, self.uuids(found))

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(
        st.lists(
            st.tuples(
                st.text(max_size=260),
                st.one_of(st.none(), st.text()),
                st.sampled_from((0, 1, None)),
            ),
            max_size=5,
        )
    )
    @hypothesis.example([('\\', '"\'%s:x', 1), ('\x01\x1f\x7f', '\u2028😀', None), ('', '', 0)])
    def test_any_text_in_bulk(self, owners: list[tuple[str, str | None, bool | None]]) -> None:
        rows = [
            self.values(project_id=project, user_id=user, queued_for_delete=queued)
            for project, user, queued in owners
        ]
        try:
            api.instance_mapping_create_bulk(self.context, rows)
        except exception.InvalidInput:
            # None of them, then.
            self.assertEqual([], self.uuids(self.found(rows)))
            return
        for row, found in zip(rows, self.found(rows), strict=True):
            self.assertEqual(row, {name: found[name] for name in row})

    def found(self, rows: list[dict[str, Any]]) -> Sequence[api.Row]:
        uuids = [row['instance_uuid'] for row in rows]
        return api.instance_mapping_get_by_instance_uuids(self.context, uuids)

    @hypothesis.given(
        st.sampled_from(('project_id', 'user_id', 'instance_uuid')),
        st.one_of(st.integers(), st.floats(), st.binary(), st.booleans(), st.lists(st.text())),
    )
    def test_what_is_no_text_is_refused_in_bulk(self, name: str, value: Any) -> None:
        rows = [self.values(), self.values(**{name: value})]
        self.assertRaises(
            exception.InvalidInput, api.instance_mapping_create_bulk, self.context, rows
        )
        self.assertEqual([], self.found(rows[:1]))

    @hypothesis.settings(max_examples=40)
    @hypothesis.given(
        st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.binary(), st.booleans())
    )
    def test_any_key(self, key: Any) -> None:
        for call in (
            functools.partial(api.instance_mapping_get_by_instance_uuid, self.context, key),
            functools.partial(api.cell_mapping_get_by_name, self.context, key),
            functools.partial(api.instance_mapping_get_by_cell_id, self.context, key),
            functools.partial(api.instance_mapping_destroy, self.context, key),
        ):
            with contextlib.suppress(exception.NotFound, exception.InvalidInput):
                self.assertEqual([], call())


@base.on_both_schemas
class Transactions(_Case):
    def test_a_block_of_writes_is_one(self) -> None:
        uuid = base.new_uuid()
        with testtools.ExpectedException(ZeroDivisionError), api.writer(self.context):
            self.map(instance_uuid=uuid)
            raise ZeroDivisionError
        self.assertRaises(
            exception.InstanceMappingNotFound,
            api.instance_mapping_get_by_instance_uuid,
            self.context,
            uuid,
        )

    def test_reads_in_a_block_share_a_connection(self) -> None:
        uuid = self.map()
        with api.reader(self.context):
            connection = transaction.connection(self.context)
            api.instance_mapping_get_by_instance_uuid(self.context, uuid)
            self.assertIs(connection, transaction.connection(self.context))

    def test_a_fork_leaves_the_connections_to_its_parent(self) -> None:
        uuid = self.map()
        # In the pools of both, the reader's and the writer's.
        api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                api.instance_mapping_get_by_instance_uuid(self.context, uuid)
                api.instance_mapping_destroy(self.context, uuid)
                gc.collect()
                os._exit(0)
            os._exit(1)
        self.assertEqual((child, 0), os.waitpid(child, 0))
        # Within a block nothing is tried again.
        with api.reader(self.context):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                api.instance_mapping_get_by_instance_uuid,
                self.context,
                uuid,
            )
        with api.writer(self.context):
            api.instance_mapping_create(self.context, self.values(instance_uuid=uuid))

    def test_threads_share_a_context(self) -> None:
        uuids = [self.map() for _ in range(8)]
        rows = at_once(
            8,
            lambda number: api.instance_mapping_get_by_instance_uuid(self.context, uuids[number]),
        )
        self.assertEqual(uuids, self.uuids(rows))


class _Failures(_Case):
    """What goes wrong between here and a server."""

    def test_a_connection_that_was_lost_is_not_noticed(self) -> None:
        uuid = self.map()
        self.cut_all_connections()
        row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        self.assertEqual(uuid, row['instance_uuid'])
        self.cut_all_connections()
        api.instance_mapping_update(self.context, uuid, {'project_id': 'new'})
        self.cut_all_connections()
        self.map()

    def test_a_block_that_writes_begins_with_a_connection_that_is_good(self) -> None:
        uuid = self.map()
        self.cut_all_connections()
        # As if the ones in the pool had rested there.
        with mock.patch.object(engine, '_REST_SECONDS', 0), api.writer(self.context):
            api.instance_mapping_update(self.context, uuid, {'project_id': 'new'})
        row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        self.assertEqual('new', row['project_id'])

    def test_a_connection_lost_within_a_write_is_met_by_a_second_try(self) -> None:
        uuid = self.map()
        cuts = iter([True, False])

        @sa.event.listens_for(engine.of().writer, 'before_cursor_execute')
        def cut(connection: sa.Connection, *args: Any) -> None:
            if args[1].startswith('UPDATE') and next(cuts):
                self.cut_all_connections()

        row = api.instance_mapping_update(self.context, uuid, {'project_id': 'new'})
        self.assertEqual('new', row['project_id'])

    def test_a_second_try_has_all_that_the_first_had(self) -> None:
        uuids = [self.map(user_id='u') for _ in range(3)]

        def lose(beginning: str) -> None:
            cuts = iter([True])

            @sa.event.listens_for(sa.Engine, 'before_cursor_execute')
            def cut(connection: sa.Connection, *args: Any) -> None:
                if args[1].startswith(beginning) and next(cuts, False):
                    self.cut_all_connections()

            self.addCleanup(sa.event.remove, sa.Engine, 'before_cursor_execute', cut)

        lose('SELECT count')
        count = api.instance_mapping_get_count_by_uuids_and_user(self.context, iter(uuids), 'u')
        self.assertEqual(3, count)
        lose('DELETE')
        self.assertEqual(3, api.instance_mapping_destroy_bulk(self.context, iter(uuids)))

    def test_a_deadlock_is_met_by_a_second_try(self) -> None:
        one, two = self.map(), self.map()
        barrier = threading.Barrier(2)
        tries: list[int] = []

        def claim(uuid: str, number: int) -> sa.Update:
            table = self.mapping_table
            update = table.update().where(table.c.instance_uuid == uuid)
            return update.values(user_id=str(number))

        def cross(number: int) -> None:
            first, second = [(one, two), (two, one)][number]

            @transaction.writes
            def both(ctxt: Any) -> None:
                tries.append(number)
                ctxt.connection.execute(claim(first, number))
                if len(tries) <= 2:
                    barrier.wait(10)
                ctxt.connection.execute(claim(second, number))

            both(context.get_admin_context())

        at_once(2, cross)
        self.assertGreaterEqual(len(tries), 3)
        users = {row['user_id'] for row in api.instance_mapping_get_all(self.context)}
        self.assertEqual(1, len(users))

    def test_a_server_that_is_not_there_is_told_of(self) -> None:
        url = sa.make_url(self.database.url).set(port=1, password='hush')
        conf = self.database.conf(connection=url.render_as_string(hide_password=False))
        conf.set_override('db_max_retries', 1, group='api_database')
        for call in (
            api.cell_mapping_get_all,
            functools.partial(api.instance_mapping_create, values=self.values()),
            functools.partial(api.instance_mapping_create_bulk, mappings=[self.values()]),
        ):
            nova_cellmap.configure(conf)
            error = self.assertRaises(exception.DatabaseUnreachable, call, self.context)
            self.assertNotIn('hush', str(error))

    def cut_all_connections(self) -> None:
        raise NotImplementedError


class FailuresMariadb(_Failures):
    kind = 'mariadb'

    def cut_all_connections(self) -> None:
        _on_server(
            self.database.url,
            'SELECT id FROM information_schema.processlist'
            ' WHERE db = DATABASE() AND id != CONNECTION_ID()',
            'KILL {}',
        )


class FailuresPostgresql(_Failures):
    kind = 'postgresql'

    def cut_all_connections(self) -> None:
        _on_server(
            self.database.url,
            'SELECT pid FROM pg_stat_activity'
            ' WHERE datname = current_database() AND pid != pg_backend_pid()',
            'SELECT pg_terminate_backend({})',
        )


del _Failures


def _on_server(url: str, query: str, statement: str) -> None:
    other = sa.create_engine(url, poolclass=sa.NullPool, isolation_level='AUTOCOMMIT')
    with other.connect() as connection:
        for (number,) in connection.exec_driver_sql(query).all():
            connection.exec_driver_sql(statement.format(number))


@base.on_each_database
class Schema(_Case):
    """What is of our own tables alone: for Nova's see :mod:`.schemas.test_nova`."""

    def test_ids_grow_beyond_31_bits(self) -> None:
        first = {'id': 2**31 + 5, 'instance_uuid': base.new_uuid(), 'project_id': 'p'}
        self.execute(own.instance_mapping.insert().values(first))
        if self.kind == 'postgresql':
            self.execute(sa.text("SELECT setval('instance_mapping_id_seq', 2147483653)"))
        second = api.instance_mapping_get_by_instance_uuid(self.context, self.map())
        self.assertEqual(2**31 + 6, second['id'])

    def test_without_tables_it_says_what_to_do(self) -> None:
        empty = self.useFixture(fixtures.Database(self.kind))
        with empty.engine().connect():
            """SQLite's file comes to be with the first connection."""
        for call in (
            api.cell_mapping_get_all,
            functools.partial(api.cell_mapping_create, values=_CELL),
        ):
            error = self.assertRaises(exception.SchemaMissing, call, self.context)
            self.assertIn('db sync', str(error))

    def test_with_an_older_schema_it_says_what_to_do(self) -> None:
        from nova_cellmap.db import migration

        old = self.useFixture(fixtures.Database(self.kind))
        migration.db_sync(3, engine=old.engine())
        for call in (
            api.instance_mapping_get_all,
            functools.partial(api.instance_mapping_create, values=self.values()),
        ):
            self.assertRaises(exception.SchemaMissing, call, self.context)


_CELL = {'uuid': 'x', 'transport_url': 'none:///', 'database_connection': 'none:///'}
