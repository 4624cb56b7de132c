# SPDX-License-Identifier: Apache-2.0
"""The instances of many cells in one order."""

import datetime
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import listing
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.cells.scatter import Failure
from nova_cellmap.cells.scatter import NoAnswer
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cells import servers
from nova_cellmap.upkeep import mapping

_TIMES = [datetime.datetime(2026, 1, day) for day in (1, 2, 3)]
# They differ in what collations hold for the same, or order in their own way.
_NAMES = ['', ' ', 'A', 'B', 'a', 'a ', 'a\t', 'a-b', 'aa', 'ab', 'b', 'Ä', 'ä', '☁', '🙂']


class _Case(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(target.forget_all)
        self.addCleanup(lambda: scatter.forget_troubles(scatter.troubles()))
        self.nova2, self.nova3 = self.new_nova(), self.new_nova()
        self.cell2 = self.cell_in('cell2', self.nova2)
        self.cell3 = self.cell_in('cell3', self.nova3)

    def cell_in(self, name: str, nova: sa.Engine) -> CellMapping:
        return self.make_cell(name=name, database_connection=cells_base.url_of(nova))

    def uuids(self, **arguments: Any) -> list[str]:
        found = listing.list_instances(self.context, **arguments)
        self.assertEqual({}, found.failures)
        return [instance.uuid for instance in found.instances]

    def in_pages(self, limit: int, by_uuid: bool = False, **arguments: Any) -> list[str]:
        """The same list, page by page."""
        uuids: list[str] = []
        marker: Any = None
        while True:
            page = listing.list_instances(
                self.context, limit=limit, marker=marker, **arguments
            ).instances
            if not page:
                return uuids
            self.assertLessEqual(len(page), limit)
            uuids += [instance.uuid for instance in page]
            marker = page[-1].uuid if by_uuid else page[-1]


@base.on_each_database
class Lists(_Case):
    def test_the_newest_of_all_cells_come_first(self) -> None:
        uuids = [
            nova_cell.add(nova, created_at=_TIMES[day])
            for nova, day in ((self.nova2, 1), (self.nova, 2), (self.nova3, 0))
        ]
        found = listing.list_instances(self.context).instances
        self.assertEqual([uuids[1], uuids[0], uuids[2]], [each.uuid for each in found])
        self.assertEqual(['cell1', 'cell2', 'cell3'], [each.cell.name for each in found])
        self.assertEqual(_TIMES[2], found[0].values['created_at'])

    def test_every_sort_key_gives_one_order_whole_and_in_pages(self) -> None:
        expected = set(self.fill())
        for key in listing.SORT_KEYS:
            for descending in (False, True):
                order: dict[str, Any] = {'sort_key': key, 'descending': descending}
                whole = self.uuids(**order)
                self.assertEqual(expected, set(whole), str(order))
                self.assertEqual(len(expected), len(whole), str(order))
                self.assertEqual(whole, self.in_pages(11, **order), str(order))
        self.assertEqual(self.uuids(), self.in_pages(5, by_uuid=True))

    def fill(self) -> list[str]:
        """Instances with many equal and missing values."""
        uuids = []
        for number in range(30):
            time = _TIMES[number % 3] if number % 5 else None
            word = _NAMES[number % len(_NAMES)] if number % 7 else None
            values: dict[str, Any] = {
                **dict.fromkeys(('created_at', 'updated_at', 'launched_at', 'deleted_at'), time),
                **dict.fromkeys(('display_name', 'host', 'node', 'vm_state', 'task_state'), word),
            }
            nova = (self.nova, self.nova2, self.nova3)[number % 3]
            uuids.append(nova_cell.add(nova, **values))
        return uuids

    def test_text_is_in_the_order_of_its_code_points(self) -> None:
        names = {}
        for number, name in enumerate(reversed(_NAMES)):
            nova = (self.nova, self.nova2)[number % 2]
            names[nova_cell.add(_with_all_of_unicode(nova), display_name=name)] = name
        order: dict[str, Any] = {'sort_key': 'display_name', 'descending': False}
        self.assertEqual(sorted(_NAMES), [names[uuid] for uuid in self.uuids(**order)])
        self.assertEqual(sorted(_NAMES), [names[uuid] for uuid in self.in_pages(3, **order)])

    def test_those_without_a_value_come_last(self) -> None:
        without = nova_cell.add(self.nova, host=None)
        one, two = nova_cell.add(self.nova2, host='1'), nova_cell.add(self.nova3, host='2')
        order: dict[str, Any] = {'sort_key': 'host'}
        self.assertEqual([two, one, without], self.uuids(**order))
        self.assertEqual([one, two, without], self.uuids(**order, descending=False))

    def test_an_instance_in_two_cells_is_listed_twice_in_pages_too(self) -> None:
        uuid = nova_cell.add(self.nova)
        nova_cell.add(self.nova2, uuid=uuid)
        for descending in (False, True):
            self.assertEqual([uuid, uuid], self.in_pages(1, descending=descending))

    def test_what_is_listed(self) -> None:
        active = nova_cell.add(self.nova, created_at=_TIMES[1])
        gone = nova_cell.add(self.nova2, deleted=7, created_at=_TIMES[0])
        soft = nova_cell.add(self.nova2, vm_state='soft-delete', created_at=_TIMES[2])
        stateless = nova_cell.add(self.nova2, vm_state=None, created_at=None)
        nova_cell.add(self.nova3, hidden=True)
        self.assertEqual([active, stateless], self.uuids())
        self.assertEqual([soft, active, gone, stateless], self.uuids(deleted=True))

    def test_a_project_is_looked_for_in_its_cells_alone(self) -> None:
        mine = nova_cell.add(self.nova, project_id='mine')
        nova_cell.add(self.nova)
        nova_cell.add(self.nova2)
        for cell in (self.cell, self.cell2):
            mapping.map_instances(self.context, cell)
        self.make_cell(name='dead', database_connection='none:///')
        self.assertEqual([mine], self.uuids(project_id='mine'))
        self.assertEqual([], self.uuids(project_id='nobodys'))

    def test_limits(self) -> None:
        for _ in range(3):
            nova_cell.add(self.nova)
        self.assertEqual(0, len(self.uuids(limit=0)))
        self.assertEqual(2, len(self.uuids(limit=2)))
        self.assertRaises(exception.InvalidInput, listing.list_instances, self.context, limit=-1)

    def test_only_what_has_an_order_is_sorted_by(self) -> None:
        self.assertRaises(
            exception.InvalidInput, listing.list_instances, self.context, sort_key='user_data'
        )

    def test_a_marker_that_is_nowhere(self) -> None:
        self.assertRaises(
            exception.MarkerNotFound,
            listing.list_instances,
            self.context,
            marker=base.new_uuid(),
        )

    def test_a_marker_that_is_gone_keeps_its_place(self) -> None:
        uuids = [nova_cell.add(self.nova, created_at=time) for time in _TIMES]
        [first] = listing.list_instances(self.context, limit=1).instances
        with self.nova.begin() as connection:
            table = nova_cell.instances
            connection.execute(table.delete().where(table.c.uuid == first.uuid))
        self.assertEqual([uuids[1], uuids[0]], self.uuids(marker=first))

    def test_a_cell_of_an_older_release(self) -> None:
        names = ('uuid', 'project_id', 'user_id', 'host')
        number = sa.Column('deleted', sa.Integer)
        time = sa.Column('created_at', sa.DateTime)
        old = self.new_database(number, time, *(sa.Column(name, sa.String(36)) for name in names))
        row = {'uuid': base.new_uuid(), 'deleted': 0, 'created_at': _TIMES[0]}
        with old.begin() as connection:
            table = sa.table('instances', *map(sa.column, row))
            connection.execute(sa.insert(table).values(row))
        cell = self.cell_in('old', old)
        [found] = listing.list_instances(self.context, cells=[cell]).instances
        self.assertEqual((row['uuid'], _TIMES[0]), (found.uuid, found.values['created_at']))
        self.assertNotIn('display_name', found.values)
        failures = listing.list_instances(self.context, sort_key='display_name').failures
        self.assertEqual([cell.uuid], list(failures))

    def test_what_is_no_cell_is_named(self) -> None:
        cell = self.cell_in('odd', self.new_database())
        expected = nova_cell.add(self.nova)
        found = listing.list_instances(self.context)
        self.assertEqual([expected], [instance.uuid for instance in found.instances])
        failure = found.failures[cell.uuid]
        self.assertRaises(exception.NotACellDatabase, failure.get)


class Failures(_Case):
    def test_cells_that_fail_are_named_and_the_others_listed(self) -> None:
        self.conf.set_override('read_timeout', 3, group='cells')
        silent = self.make_cell(
            name='silent',
            database_connection=servers.mariadb_at(servers.silent_port(self)),
        )
        refusing = self.make_cell(
            name='refusing', database_connection=servers.mariadb_at(servers.refusing_port())
        )
        expected = nova_cell.add(self.nova)
        found = listing.list_instances(self.context, timeout=2)
        self.assertEqual([expected], [instance.uuid for instance in found.instances])
        self.assertEqual({silent.uuid, refusing.uuid}, found.failures.keys())
        self.assertIsInstance(found.failures[silent.uuid], NoAnswer)
        self.assertIsInstance(found.failures[refusing.uuid], Failure)

    def test_the_next_page_does_not_need_the_cell_of_its_marker(self) -> None:
        for nova in (self.nova, self.nova2, self.nova3):
            nova_cell.add(nova)
        [first] = listing.list_instances(self.context, limit=1).instances
        self.execute(
            sa.text(
                "UPDATE cell_mapping SET database_connection = 'none:///' WHERE uuid = :uuid"
            ).bindparams(uuid=first.cell.uuid)
        )
        rest = listing.list_instances(self.context, marker=first)
        self.assertEqual(2, len(rest.instances))
        self.assertEqual({first.cell.uuid}, rest.failures.keys())
        self.assertRaises(
            exception.CellDidNotAnswer,
            listing.list_instances,
            self.context,
            marker=first.uuid,
        )


def _with_all_of_unicode(nova: sa.Engine) -> sa.Engine:
    """Have a server's table take what is beyond the first plane, as Nova's does not."""
    if nova.dialect.name in ('mysql', 'mariadb'):
        with nova.begin() as connection:
            connection.exec_driver_sql('ALTER TABLE instances CONVERT TO CHARACTER SET utf8mb4')
    return nova
