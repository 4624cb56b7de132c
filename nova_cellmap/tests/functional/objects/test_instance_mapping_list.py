# SPDX-License-Identifier: Apache-2.0
"""InstanceMappingList, on each kind of database."""

from collections.abc import Callable
import functools
from typing import Any
import uuid

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap import runtime
from nova_cellmap.db import engine
from nova_cellmap.db.caching.known_cells import KnownCells
from nova_cellmap.tests.functional import base

InstanceMapping = objects.InstanceMapping
InstanceMappingList = objects.InstanceMappingList


class _Case(base.TestCase):
    def get(self, mapping: InstanceMapping) -> InstanceMapping:
        return InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)

    def uuids(self, mappings: Any) -> list[str]:
        return [mapping.instance_uuid for mapping in mappings]


@base.straight_and_through_the_conductor
class Lists(_Case):
    def test_lists(self) -> None:
        one, two = self.make_cell(), self.make_cell()
        made = [
            self.make_mapping(cell_mapping=one, project_id='a'),
            self.make_mapping(cell_mapping=two, project_id='a', queued_for_delete=True),
            self.make_mapping(cell_mapping=one, project_id='b'),
            self.make_mapping(project_id='a'),
        ]
        uuids = self.uuids(made)
        everyone = InstanceMappingList
        for expected, found in (
            ([0, 1, 2, 3], everyone.get_all(self.context)),
            ([2], everyone.get_all(self.context, 'b', one.uuid)),
            ([0, 1, 3], everyone.get_by_project_id(self.context, 'a')),
            ([1], everyone.get_by_project_id(self.context, 'a', limit=1, marker=uuids[0])),
            ([0, 2], everyone.get_by_cell_uuid(self.context, one.uuid)),
            ([0, 2], everyone.get_by_cell_uuid(self.context, one.uuid.upper())),
            ([2], everyone.get_by_cell_uuid(self.context, one.uuid, marker=uuids[0].upper())),
            ([], everyone.get_by_cell_uuid(self.context, 'no uuid')),
            ([0, 2], everyone.get_by_cell_id(self.context, one.id)),
            ([0], everyone.get_by_cell_id(self.context, one.id, limit=1)),
            ([0, 3], everyone.get_by_instance_uuids(self.context, [uuids[3], uuids[0], 'x'])),
            ([3], everyone.get_by_instance_uuids(self.context, uuids, marker=uuids[2])),
            ([], everyone.get_not_deleted_by_cell_and_project(self.context, two.uuid, 'a')),
            ([0, 2], everyone.get_not_deleted_by_cell_and_project(self.context, one.uuid, None)),
            ([0], everyone.get_not_deleted_by_cell_and_project(self.context, one.uuid, 'a', 5)),
        ):
            self.assertEqual([uuids[number] for number in expected], self.uuids(found))
            self.assertEqual(set(), found.obj_what_changed())

    def test_a_list_holds_what_a_lookup_finds(self) -> None:
        cell = self.make_cell()
        made = [self.make_mapping(cell_mapping=cell), self.make_mapping()]
        for mapping, listed in zip(made, InstanceMappingList.get_all(self.context), strict=True):
            self.assertEqual(self.get(mapping).obj_to_primitive(), listed.obj_to_primitive())

    def test_a_project_must_be_named(self) -> None:
        self.make_mapping()
        no_one: Any = None
        for call in (
            lambda: InstanceMappingList.get_by_project_id(self.context, no_one),
            lambda: InstanceMappingList.get_counts(self.context, no_one),
            lambda: InstanceMappingList.get_count_by_uuids_and_user(self.context, [], no_one),
        ):
            self.assertRaises(exception.InvalidInput, call)

    def test_a_wrong_argument_is_invalid_input(self) -> None:
        mapping = self.make_mapping()
        listed = InstanceMappingList
        one: Any
        call: Callable[[], Any]
        for one in (5, 1.5, True, mapping, [mapping.instance_uuid], {'a': 1}):
            for call in (
                lambda: InstanceMapping.get_by_instance_uuid(self.context, one),  # noqa: B023
                lambda: listed.get_all(self.context, project_id=one),  # noqa: B023
                lambda: listed.get_all(self.context, cell_uuid=one),  # noqa: B023
                lambda: listed.get_all(self.context, marker=one),  # noqa: B023
                lambda: listed.get_by_project_id(self.context, one),  # noqa: B023
                lambda: listed.get_by_cell_uuid(self.context, one),  # noqa: B023
                lambda: listed.get_by_instance_uuids(self.context, [one]),  # noqa: B023
                lambda: listed.get_by_instance_uuids(self.context, [], marker=one),  # noqa: B023
                lambda: listed.get_not_deleted_by_cell_and_project(self.context, one, 'a'),  # noqa: B023
                lambda: listed.get_counts(self.context, one),  # noqa: B023
                lambda: listed.get_counts(self.context, 'a', one),  # noqa: B023
                lambda: listed.get_count_by_uuids_and_user(self.context, [one], 'a'),  # noqa: B023
                lambda: listed.get_count_by_uuids_and_user(self.context, [], one),  # noqa: B023
                lambda: listed.destroy_bulk(self.context, [one]),  # noqa: B023
            ):
                self.assertRaises(exception.InvalidInput, call)
        for several in (None, 'a', b'a', 5, mapping, {'a': 1}):
            one = several
            for call in (
                lambda: listed.get_by_instance_uuids(self.context, one),  # noqa: B023
                lambda: listed.get_count_by_uuids_and_user(self.context, one, 'a'),  # noqa: B023
                lambda: listed.create_bulk(self.context, one),  # noqa: B023
                lambda: listed.destroy_bulk(self.context, one),  # noqa: B023
            ):
                self.assertRaises(exception.InvalidInput, call)
        for wrong in ('a', 5, None, self.make_cell(), {'a': 1}):
            one = [self.new_mapping(), wrong]
            self.assertRaises(exception.InvalidInput, listed.create_bulk, self.context, one)
        self.assertEqual([mapping.instance_uuid], self.uuids(listed.get_all(self.context)))

    def test_a_uuid_may_be_an_object_of_python(self) -> None:
        mapping = self.make_mapping()
        named: Any = uuid.UUID(mapping.instance_uuid)
        found = InstanceMapping.get_by_instance_uuid(self.context, named)
        self.assertEqual(mapping.instance_uuid, found.instance_uuid)
        several = InstanceMappingList.get_by_instance_uuids(self.context, [named, named])
        self.assertEqual([mapping.instance_uuid], self.uuids(several))
        self.assertEqual(1, InstanceMappingList.destroy_bulk(self.context, [named, str(named)]))

    def test_a_marker_must_be_in_the_list(self) -> None:
        theirs = self.make_mapping(project_id='theirs')
        for marker in (theirs.instance_uuid, base.new_uuid(), 'no uuid', ''):
            self.assertRaises(
                exception.MarkerNotFound,
                InstanceMappingList.get_by_project_id,
                self.context,
                'mine',
                marker=marker,
            )

    @hypothesis.settings(max_examples=25)
    @hypothesis.given(st.lists(st.sampled_from('ab'), max_size=12), st.integers(1, 13))
    def test_pages_are_the_list(self, projects: list[str], size: int) -> None:
        self.execute(sa.delete(self.mapping_table))
        for project in projects:
            self.make_mapping(project_id=project)
        for get in (
            functools.partial(InstanceMappingList.get_by_project_id, self.context, 'a'),
            functools.partial(InstanceMappingList.get_all, self.context),
        ):
            self.assertEqual(self.uuids(get()), self.uuids(self.in_pages(get, size)))

    def in_pages(self, get: Callable[..., Any], size: int) -> list[Any]:
        found: list[Any] = []
        while page := get(limit=size, marker=found[-1].instance_uuid if found else None).objects:
            found += page
        return found


@base.on_both_schemas
class Statements(_Case):
    """What is asked of the database."""

    def test_a_list_reads_each_cell_once(self) -> None:
        cells = [self.make_cell(), self.make_cell(), None]
        for number in range(9):
            self.make_mapping(cell_mapping=cells[number % 3])
        runtime.default().part(KnownCells).forget()
        # And the second list has the cells of the first.
        for expected in (2, 1):
            statements = self.count_statements(
                lambda: [each.cell_mapping for each in InstanceMappingList.get_all(self.context)]
            )
            self.assertEqual(expected, statements)

    def count_statements(self, call: Callable[[], Any]) -> int:
        statements: list[str] = []

        def listen(*args: Any) -> None:
            statements.append(args[2])

        engines = {engine.of().writer, engine.of().manager.reader.get_engine()}
        for each in engines:
            sa.event.listen(each, 'before_cursor_execute', listen)
        call()
        for each in engines:
            sa.event.remove(each, 'before_cursor_execute', listen)
        return len([text for text in statements if text.startswith('SELECT')])


@base.straight_and_through_the_conductor
class Many(_Case):
    def test_create_bulk_tells_apart_what_it_did(self) -> None:
        one, two = self.make_cell(), self.make_cell()
        other, none = self.make_mapping(cell_mapping=two), self.make_mapping()
        new = [self.new_mapping(cell_mapping=one) for _ in range(3)]
        conflicting = [
            self.new_mapping(instance_uuid=each.instance_uuid, cell_mapping=one)
            for each in (other, none)
        ]
        result = InstanceMappingList.create_bulk(self.context, [*new, *conflicting])
        conflicts = {other.instance_uuid: two.uuid, none.instance_uuid: None}
        self.assertEqual({'created': 3, 'existing': 0, 'conflicts': conflicts}, result)
        result = InstanceMappingList.create_bulk(self.context, new)
        self.assertEqual({'created': 0, 'existing': 3, 'conflicts': {}}, result)

    def test_create_bulk_answers_the_ids_of_what_is_new(self) -> None:
        existing = self.make_mapping()
        new = [self.new_mapping() for _ in range(3)]
        again = self.new_mapping(instance_uuid=existing.instance_uuid)
        result = InstanceMappingList.create_bulk(self.context, [again, *new], with_ids=True)
        found = InstanceMappingList.get_by_instance_uuids(
            self.context, [mapping.instance_uuid for mapping in new]
        )
        self.assertEqual({each.instance_uuid: each.id for each in found}, result['ids'])
        self.assertEqual((3, 1), (result['created'], result['existing']))
        none = InstanceMappingList.create_bulk(self.context, [], with_ids=True)
        self.assertEqual({}, none['ids'])

    def test_a_list_can_be_created(self) -> None:
        mappings = InstanceMappingList(objects=[self.new_mapping(), self.new_mapping()])
        result = InstanceMappingList.create_bulk(self.context, mappings)
        self.assertEqual(2, result['created'])

    def test_destroy_bulk_takes_any_spelling(self) -> None:
        made = [self.make_mapping() for _ in range(3)]
        asked = [made[0].instance_uuid.upper(), made[1].instance_uuid, base.new_uuid(), 'x']
        self.assertEqual(2, InstanceMappingList.destroy_bulk(self.context, asked))
        self.assertEqual(
            [made[2].instance_uuid], self.uuids(InstanceMappingList.get_all(self.context))
        )

    def test_counts(self) -> None:
        made = [
            self.make_mapping(user_id='u', queued_for_delete=number == 0) for number in range(3)
        ]
        self.make_mapping(user_id='v')
        counts = InstanceMappingList.get_counts(self.context, 'project', user_id='u')
        self.assertEqual({'project': {'instances': 3}, 'user': {'instances': 2}}, counts)
        count = InstanceMappingList.get_count_by_uuids_and_user(
            self.context, self.uuids(made), 'u'
        )
        self.assertEqual(2, count)
