# SPDX-License-Identifier: Apache-2.0
"""What a cell knows of its instances."""

import contextlib
from typing import Any

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.cells import database
from nova_cellmap.cells.instances import Instances
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.db import api as db_api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base


class _Case(cells_base.TestCase):
    def instances(self) -> Instances:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        return Instances(stack.enter_context(database.connect(self.cell)), self.cell)

    def add(self, **values: Any) -> str:
        return nova_cell.add(self.nova, **values)


@base.on_each_database
class Pages(_Case):
    def test_by_id_all_rows_come_once(self) -> None:
        uuids = [self.add(), self.add(hidden=True), self.add(deleted=3), self.add(), self.add()]
        for limit in (1, 2, 5, 100):
            found, last = list[str](), 0
            instances = self.instances()
            while page := instances.after(last, limit):
                self.assertLessEqual(page.rows, limit)
                self.assertEqual(([], page.rows), (page.invalid, len(page.instances)))
                found += [each.uuid for each in page.instances]
                last = page.last_id
            self.assertEqual(uuids, found)
            self.assertEqual(last, instances.last_id())

    def test_by_uuid_those_that_are_shown_come_in_order(self) -> None:
        shown = sorted([self.add(), self.add(deleted=3), self.add(), self.add()])
        self.add(hidden=True)
        for limit in (1, 2, 4, 100):
            found: list[str] = []
            instances = self.instances()
            while facts := instances.facts_after(found[-1] if found else '', limit).facts:
                self.assertLessEqual(len(facts), limit)
                found += [uuid for uuid, _ in facts]
            self.assertEqual(shown, found)

    def test_of_a_project(self) -> None:
        mine = self.add(project_id='mine')
        self.add(project_id='p')
        said = self.instances().facts_after('', 100, 'mine')
        self.assertEqual([mine], [uuid for uuid, _ in said.facts])

    def test_what_is_said_is_what_the_mapping_should_say(self) -> None:
        said: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
            ({}, {}),
            ({'user_id': None}, {'user_id': None}),
            ({'deleted': 7}, {'queued_for_delete': True}),
            ({'vm_state': 'soft-delete'}, {'queued_for_delete': True}),
        )
        for values, mapped in said:
            uuid = self.add(**values)
            row = {'project_id': 'project', 'user_id': 'user', **mapped}
            row |= {'instance_uuid': uuid, 'cell_uuid': self.cell.uuid}
            db_api.instance_mapping_create(self.context, row)
        self.assertEqual(
            db_api.instance_mapping_scan(self.context, '', 100),
            self.instances().facts_after('', 100).facts,
        )

    def test_an_empty_table(self) -> None:
        instances = self.instances()
        self.assertIsNone(instances.after(0, 10))
        self.assertEqual(([], []), instances.facts_after('', 10))
        self.assertIsNone(instances.odd_after(0, 10))
        self.assertEqual((True, False, 0), (instances.is_empty(), instances.has_live(), 0))
        self.assertEqual(0, instances.last_id())
        self.assertEqual((False, {}), instances.odd_spellings())


@base.on_each_database
class Spellings(_Case):
    """Uuids that somebody has spelled otherwise."""

    def setUp(self) -> None:
        super().setUp()
        self.usual = self.add()
        self.upper = '0123abcd-ef45-6789-abcd-ef0123456789'
        self.mixed, self.spelled = f'a{self.upper[1:]}', f'A{self.upper[1:]}'
        self.add(uuid=self.upper.upper())
        self.add(uuid=self.spelled)

    def test_they_come_apart_from_the_others(self) -> None:
        instances = self.instances()
        facts = instances.facts_after('', 10).facts
        self.assertEqual([self.usual], [uuid for uuid, _ in facts])
        found, last = list[str](), 0
        while page := instances.odd_after(last, 1):
            found += [each.uuid for each in page.instances]
            last = page.last_id
        self.assertEqual([self.upper, self.mixed], found)

    def test_they_are_found_by_their_spellings(self) -> None:
        instances = self.instances()
        odd = instances.odd_spellings()
        self.assertTrue(odd.are_any)
        # In upper case is one of the usual other ways.
        self.assertEqual({self.mixed: [self.spelled]}, odd.strange)
        asked = [self.usual, self.upper, self.mixed, base.new_uuid()]
        self.assertEqual(set(asked[:3]), {each.uuid for each in instances.of(asked, odd)})

    def test_one_is_found_without_them(self) -> None:
        instances = self.instances()
        for uuid in (self.usual, self.upper, self.mixed):
            found = instances.get(uuid)
            self.assertEqual(uuid, found.uuid if found else None)
        self.assertIsNone(instances.get(base.new_uuid()))


@base.on_each_database
class Rows(_Case):
    def test_of_some_instances_also_what_is_deleted_or_hidden(self) -> None:
        live, deleted, hidden = self.add(), self.add(deleted=7), self.add(hidden=True)
        self.add()
        found = {each.uuid: each for each in self.instances().of([live, deleted, hidden])}
        self.assertEqual({live, deleted, hidden}, found.keys())
        flags = {
            uuid: (each.deleted, each.queued_for_delete, each.hidden)
            for uuid, each in found.items()
            if isinstance(each, Instance)
        }
        expected = {live: (False,) * 3, deleted: (True, True, False), hidden: (False, False, True)}
        self.assertEqual(expected, flags)
        self.assertEqual([], self.instances().of([]))

    def test_what_a_person_wants_to_see(self) -> None:
        uuid = self.add(display_name='web', host='compute1', task_state='resizing')
        instances = self.instances()
        found = instances.get(uuid)
        assert isinstance(found, Instance)
        shown = instances.describe(found)
        self.assertEqual('uuid', next(iter(shown)))
        names = ('uuid', 'display_name', 'vm_state', 'task_state', 'host', 'launched_at')
        expected = [uuid, 'web', 'active', 'resizing', 'compute1', None]
        self.assertEqual(expected, [shown[name] for name in names])
        cells_base.empty(self.nova)
        self.assertEqual({}, instances.describe(found))

    def test_whether_any_is_live(self) -> None:
        instances = self.instances()
        self.add(deleted=7)
        self.assertEqual((False, False), (instances.is_empty(), instances.has_live()))
        self.add(hidden=True, vm_state='soft-delete')
        self.assertTrue(instances.has_live())


@base.on_each_database
class Loose(_Case):
    """A table that lacks Nova's constraints."""

    def setUp(self) -> None:
        super().setUp()
        kinds: dict[str, Any] = {'id': sa.BigInteger(), 'deleted': sa.Integer()}
        kinds |= dict.fromkeys(('uuid', 'project_id', 'user_id', 'vm_state'), sa.String(255))
        self.nova = self.new_database(*(sa.Column(name, kind) for name, kind in kinds.items()))
        self.cell.database_connection = cells_base.url_of(self.nova)
        self.cell.save()

    def insert(self, number: int | None, uuid: str) -> None:
        row = {'id': number, 'uuid': uuid, 'project_id': 'p', 'user_id': 'u', 'deleted': 0}
        table = sa.table('instances', *map(sa.column, row))
        with self.nova.begin() as connection:
            connection.execute(table.insert().values(row))

    def test_ids_that_are_none(self) -> None:
        uuid = base.new_uuid()
        for number in (None, 0, -5, 1):
            self.insert(number, uuid if number == 1 else base.new_uuid())
        instances = self.instances()
        ids = {row.id for row in instances.without_an_id()}
        self.assertEqual({None, 0, -5}, ids)
        page = instances.after(0, 10)
        self.assertEqual([uuid], [each.uuid for each in page.instances] if page else [])

    def test_an_id_that_is_there_twice(self) -> None:
        for number in (1, 2, 2, 3):
            self.insert(number, base.new_uuid())
        page = self.instances().after(0, 10)
        assert page is not None
        self.assertEqual([1, 3], [each.id for each in page.instances])
        self.assertEqual([2, 2], [each.id for each in page.invalid])
        for row in page.invalid:
            self.assertIn('its id is that of another row', row.reason)

    def test_an_instance_that_is_there_twice(self) -> None:
        uuid = base.new_uuid()
        for number in (1, 2):
            self.insert(number, uuid)
        instances = self.instances()
        self.assertEqual([uuid], instances.facts_after('', 10).suspects)
        found = instances.of([uuid])
        self.assertEqual([InvalidRow] * 2, [type(each) for each in found])
