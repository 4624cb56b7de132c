# SPDX-License-Identifier: Apache-2.0
"""Mapping instances to another cell: one that is in two, and all of a cell."""

from collections import Counter
import pathlib
from typing import Any
from unittest import mock

import fixtures
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import lookup
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import moves
from nova_cellmap.upkeep import reverting
from nova_cellmap.upkeep.change_files import ChangeFiles
from nova_cellmap.upkeep.change_files import Fate
from nova_cellmap.upkeep.journal import Journal


class _Case(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.other, self.other_nova = self.new_cell('cell2')

    def contents(self) -> list[Any]:
        """What is in the cells, which nothing here may change."""
        found = []
        for engine in (self.nova, self.other_nova):
            with engine.connect() as connection:
                query = sa.select(nova_cell.instances).order_by(nova_cell.instances.c.id)
                found.append([tuple(row) for row in connection.execute(query)])
        return found


@base.on_both_schemas
class Keep(_Case):
    def twice(self, **values: Any) -> str:
        """An instance that is live in both cells, and mapped to the first one."""
        uuid = nova_cell.add(self.nova)
        nova_cell.add(self.other_nova, uuid=uuid, **values)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        return uuid

    def keep(self, uuid: str, cell: Any = None) -> moves.Kept:
        before = self.contents()
        try:
            return moves.keep(self.context, uuid, cell or self.other)
        finally:
            self.assertEqual(before, self.contents())

    def test_the_mapping_says_what_that_cell_says(self) -> None:
        uuid = self.twice(project_id='another', vm_state='soft-delete')
        kept = self.keep(uuid.upper())
        self.assertEqual(self.cell.uuid, kept.previous_cell_uuid)
        self.assertEqual(['cell_uuid', 'project_id', 'queued_for_delete'], kept.changed)
        now = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(
            (self.other.uuid, 'another', 'user', True),
            (now.cell_uuid, now.project_id, now.user_id, now.queued_for_delete),
        )
        self.assertEqual([], self.keep(uuid).changed)

    def test_what_nova_is_deleting_stays_queued(self) -> None:
        uuid = self.twice(task_state='deleting')
        mapping = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        mapping.queued_for_delete = True
        mapping.save()
        self.assertEqual(['cell_uuid'], self.keep(uuid).changed)

    def test_a_cell_that_does_not_have_it(self) -> None:
        for values, word in (
            ({'hidden': True}, 'hidden'),
            ({'deleted': 7}, 'deleted'),
            (None, 'no'),
        ):
            uuid = nova_cell.add(self.nova)
            if values is not None:
                nova_cell.add(self.other_nova, uuid=uuid, **values)
            self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
            error = self.assertRaises(exception.InstanceNotInCell, self.keep, uuid)
            self.assertIn(f'{word} row', str(error))
            self.assertEqual(self.cell.uuid, self.mapped()[uuid])

    def test_an_instance_without_a_mapping(self) -> None:
        uuid = nova_cell.add(self.other_nova)
        self.assertRaises(exception.InstanceMappingNotFound, self.keep, uuid)
        self.assertEqual({}, self.mapped())

    def test_another_writer_is_first(self) -> None:
        uuid = self.twice()
        third = self.make_cell(name='third')
        real = lookup.row_in

        def others_first(*args: Any) -> Any:
            mapping = InstanceMapping.get_by_instance_uuid(self.context, uuid)
            mapping.cell_mapping = third
            mapping.save()
            return real(*args)

        with mock.patch.object(lookup, 'row_in', side_effect=others_first):
            self.assertRaises(exception.InstanceMappingConflict, self.keep, uuid)
        self.assertEqual(third.uuid, self.mapped()[uuid])

    def test_a_cell_that_cannot_be_read(self) -> None:
        uuid = self.twice()
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        self.assertRaises(exception.CellUnreachable, self.keep, uuid, lost)
        self.assertEqual(self.cell.uuid, self.mapped()[uuid])


@base.on_both_schemas
class Moves(_Case):
    def fill(self, count: int, **values: Any) -> list[str]:
        """Instances that are mapped to the first cell."""
        rows = [
            {
                'instance_uuid': base.new_uuid(),
                'project_id': f'p{number % 3}',
                'cell_uuid': self.cell.uuid,
                **values,
            }
            for number in range(count)
        ]
        db_api.instance_mapping_create_bulk(self.context, rows)
        return [row['instance_uuid'] for row in rows]

    def move(self, **options: Any) -> moves.Move:
        before = self.contents()
        move = moves.move_mappings(
            self.context, self.cell, self.other, **{'batch_size': 7, **options}
        )
        self.assertEqual(before, self.contents())
        return move

    def in_cell(self, cell: Any) -> set[str]:
        return {uuid for uuid, cell_uuid in self.mapped().items() if cell_uuid == cell.uuid}

    def there(self, uuids: list[str], **values: Any) -> None:
        for uuid in uuids:
            nova_cell.add(self.other_nova, uuid=uuid, **values)

    def test_all_of_a_cell(self) -> None:
        uuids, others = self.fill(20), self.fill(3, cell_uuid=None)
        theirs = self.fill(2, cell_uuid=self.other.uuid)
        self.assertEqual(moves.Move(total=20, looked_at=20, moved=20), self.move(dry_run=True))
        self.assertEqual({*uuids}, self.in_cell(self.cell))
        self.assertEqual(moves.Move(total=20, looked_at=20, moved=20), self.move())
        self.assertEqual({*uuids, *theirs}, self.in_cell(self.other))
        self.assertEqual({*others}, {uuid for uuid, cell in self.mapped().items() if cell is None})
        self.assertEqual(moves.Move(), self.move())

    def test_what_else_a_mapping_says_stays(self) -> None:
        [uuid] = self.fill(1, queued_for_delete=True, user_id='u')
        self.move()
        now = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(('p0', 'u', True), (now.project_id, now.user_id, now.queued_for_delete))

    def test_what_the_other_cell_does_not_have_is_left(self) -> None:
        uuids = self.fill(30)
        there = uuids[1::2]
        self.there(there[2:])
        self.there(there[:1], deleted=7)
        self.there(there[1:2], hidden=True)
        moved = {*there[:1], *there[2:]}
        for dry_run in (True, False):
            move = self.move(verify=True, dry_run=dry_run)
            self.assertEqual(
                moves.Move(total=30, looked_at=30, moved=len(moved), not_there=30 - len(moved)),
                move,
            )
        self.assertEqual(moved, self.in_cell(self.other))
        # Again it is the same that is left.
        self.assertEqual((16, 16), (self.move(verify=True).looked_at, self.move(verify=True).left))

    def test_a_row_that_is_spelled_otherwise_is_there(self) -> None:
        [uuid] = self.fill(1)
        self.there([uuid.upper().replace('-', '')])
        self.assertEqual(1, self.move(verify=True).moved)

    def test_only_some(self) -> None:
        uuids = self.fill(20)
        [elsewhere] = self.fill(1, cell_uuid=None)
        [existing] = self.fill(1, cell_uuid=self.other.uuid)
        wanted = [*uuids[:10], uuids[0], elsewhere, existing, base.new_uuid()]
        for dry_run in (True, False):
            move = self.move(uuids=wanted, dry_run=dry_run)
            counts = {'moved': 10, 'existing': 1, 'elsewhere': 1, 'unmapped': 1}
            self.assertEqual(moves.Move(total=13, looked_at=13, **counts), move)
        self.assertEqual({*uuids[:10], existing}, self.in_cell(self.other))
        self.assertEqual(11, self.move(uuids=wanted).existing)

    def test_a_run_that_was_killed_is_begun_again(self) -> None:
        uuids = self.fill(20)

        def stop(move: moves.Move) -> None:
            if move.moved == 14:
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, self.move, on_batch=stop)
        self.assertEqual(14, len(self.in_cell(self.other)))
        self.assertEqual(moves.Move(total=6, looked_at=6, moved=6), self.move())
        self.assertEqual({*uuids}, self.in_cell(self.other))

    def test_others_change_some_meanwhile(self) -> None:
        uuids = self.fill(20)
        self.there(uuids[1:])
        third = self.make_cell(name='third')
        real = db_api.instance_mapping_move_bulk
        taken: list[str] = []

        def others_first(context: Any, wanted: Any, **cells: Any) -> int:
            wanted = sorted(wanted)
            # One is mapped elsewhere, one is removed, one is moved by another run; and what the
            # pages go on behind is gone too.
            some = {'from_cell_uuid': self.cell.uuid}
            real(context, wanted[:1], **some, to_cell_uuid=third.uuid)
            db_api.instance_mapping_destroy_bulk(context, wanted[1:2])
            real(context, wanted[2:3], **some, to_cell_uuid=self.other.uuid)
            if not taken:
                db_api.instance_mapping_destroy_bulk(context, uuids[:1])
            taken.extend(wanted)
            return real(context, wanted, **cells)

        with mock.patch.object(db_api, 'instance_mapping_move_bulk', side_effect=others_first):
            move = self.move(verify=True)
        self.assertEqual((1, 3, 3), (move.not_there, move.elsewhere, move.unmapped))
        self.assertEqual((20, 13), (move.looked_at, move.moved))
        self.assertEqual(13, len(self.in_cell(self.other)))
        self.assertEqual(set(), self.in_cell(self.cell))
        self.assertEqual(3, len(self.in_cell(third)))

    def test_what_was_moved_is_in_the_journal(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'journal')
        uuids = self.fill(20, user_id='u')
        third = self.make_cell(name='third')
        before = self.mapped()
        self.move(journal=Journal(path), dry_run=True)
        self.assertFalse(path.exists())
        real = db_api.instance_mapping_move_bulk

        def others_first(context: Any, wanted: Any, **cells: Any) -> int:
            some = {'from_cell_uuid': self.cell.uuid, 'to_cell_uuid': third.uuid}
            real(context, sorted(wanted)[:1], **some)
            return real(context, wanted, **cells)

        with mock.patch.object(db_api, 'instance_mapping_move_bulk', side_effect=others_first):
            move = self.move(journal=Journal(path))
        self.assertEqual((17, 3), (move.moved, move.elsewhere))
        with ChangeFiles([path]) as files:
            fates = Counter(entry.fate for entry in files.entries())
        self.assertEqual({Fate.MADE: 17, Fate.NOT_MADE: 3}, fates)
        reverted = reverting.revert(self.context, path)
        self.assertEqual((17, 0), (reverted.reverted, reverted.left))
        theirs = {uuid: cell for uuid, cell in self.mapped().items() if cell == third.uuid}
        self.assertEqual(3, len(theirs))
        self.assertEqual({**before, **theirs}, self.mapped())
        self.assertEqual({('p', 'u')}, {(each[0][:1], each[1]) for each in self.owners().values()})
        self.assertEqual({*uuids}, self.owners().keys())

    def test_one_cell_is_not_two(self) -> None:
        self.assertRaises(
            exception.InvalidInput, moves.move_mappings, self.context, self.cell, self.cell
        )

    def test_a_cell_that_cannot_be_read(self) -> None:
        uuids = self.fill(3)
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        move = moves.move_mappings
        self.assertRaises(
            exception.CellUnreachable, move, self.context, self.cell, lost, verify=True
        )
        self.assertEqual({*uuids}, self.in_cell(self.cell))
        self.assertEqual(3, move(self.context, self.cell, lost).moved)
