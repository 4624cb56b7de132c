# SPDX-License-Identifier: Apache-2.0
"""The queries of mappings: one, and lists."""

from collections.abc import Callable, Sequence
import functools
from typing import Any

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db.schemas import own
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Mappings(case.Case):
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

        answers = case.at_once(8, move)
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
        answers = case.at_once(
            4, lambda _: api.instance_mapping_destroy(context.get_admin_context(), uuid)
        )
        self.assertEqual(1, answers.count(None))

    def test_times_are_whole_seconds_of_utc(self) -> None:
        row = api.instance_mapping_get_by_instance_uuid(self.context, self.map())
        self.assertEqual(0, row['created_at'].microsecond)
        self.assertIsNone(row['created_at'].tzinfo)


_KEY_COLUMNS = ('instance_uuid', 'cell_uuid', 'project_id', 'user_id')


@base.on_both_schemas
class Lists(case.Case):
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

    def test_no_number_is_too_large(self) -> None:
        cell = self.make_cell()
        self.make_mapping(cell_uuid=cell.uuid)
        for number in (2**63 - 1, 2**63, 10**30):
            listed = api.instance_mapping_get_all(self.context, limit=number)
            self.assertEqual(1, len(listed))
            self.assertEqual(1, len(api.cell_mapping_get_all(self.context, limit=number)))
            for number_of_cell in (number, -number):
                of_cell = api.instance_mapping_get_by_cell_id(self.context, number_of_cell)
                self.assertEqual([], of_cell)

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
