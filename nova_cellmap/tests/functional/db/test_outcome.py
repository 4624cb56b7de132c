# SPDX-License-Identifier: Apache-2.0
"""Commits whose answer is lost: what was made is said to be, and what was not is made."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import datetime
import functools
import types
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import outcome
from nova_cellmap.db.outcome import Outcome
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import losses
from nova_cellmap.tests.proxy import Mode


class _OneMapping(losses.Case):
    def test_create(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping(cell_mapping=self.cells[0])
            [row] = self.found(mapping.instance_uuid)
            self.assertEqual(mapping.id, row['id'])

    def test_create_of_what_another_creates_meanwhile(self) -> None:
        values = self.values()
        other = {**values, 'project_id': 'other'}
        self.proxy.act(Mode.CUT_COMMIT, times=1)
        with self.meanwhile(lambda: self.add_beside(other)):
            self.assertRaises(
                exception.InstanceMappingExists, api.instance_mapping_create, self.context, values
            )
        [row] = self.found(values['instance_uuid'])
        self.assertEqual('other', row['project_id'])

    def test_create_of_what_another_replaces_meanwhile(self) -> None:
        values = self.values()
        other = {**values, 'project_id': 'other'}

        def replace() -> None:
            self.remove_beside(values['instance_uuid'])
            self.add_beside(other)

        self.proxy.act(Mode.CUT_COMMITTED, times=1)
        with self.meanwhile(replace):
            self.assertRaises(
                exception.InstanceMappingExists, api.instance_mapping_create, self.context, values
            )
        [row] = self.found(values['instance_uuid'])
        self.assertEqual('other', row['project_id'])

    def test_save(self) -> None:
        for number, _ in enumerate(self.each_loss()):
            mapping = self.make_mapping_past_proxy(cell_mapping=self.cells[0])
            mapping.cell_mapping = self.cells[1]
            mapping.user_id = f'user{number}'
            mapping.save()
            [row] = self.found(mapping.instance_uuid)
            self.assertEqual(self.cells[1].uuid, row['cell_uuid'])
            self.assertEqual(f'user{number}', row['user_id'])

    def test_save_of_what_another_moves_meanwhile(self) -> None:
        third = self.make_cell(name='cell3')
        for mode in losses.LOSSES:
            mapping = self.make_mapping(cell_mapping=self.cells[0])
            mapping.cell_mapping = self.cells[1]
            where = self.mapping_table.c.instance_uuid == mapping.instance_uuid
            other = self.mapping_table.update().where(where).values(cell_uuid=third.uuid)
            self.proxy.act(mode, times=1)
            with self.meanwhile(functools.partial(self.execute_beside, other)):
                # Nobody can tell whether it was made before the other's.
                self.assertRaises(exception.DatabaseOutcomeUnknown, mapping.save)
            [row] = self.found(mapping.instance_uuid)
            self.assertEqual(third.uuid, row['cell_uuid'])

    def test_save_of_a_value(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping_past_proxy()
            mapping.queued_for_delete = True
            mapping.save()
            [row] = self.found(mapping.instance_uuid)
            self.assertTrue(row['queued_for_delete'])

    def test_destroy(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping_past_proxy()
            mapping.destroy()
            self.assertEqual([], self.found(mapping.instance_uuid))

    def test_destroy_of_what_another_creates_meanwhile(self) -> None:
        mapping = self.make_mapping()
        values = self.values(instance_uuid=mapping.instance_uuid)
        self.proxy.act(Mode.CUT_COMMITTED, times=1)
        with self.meanwhile(lambda: self.add_beside(values)):
            mapping.destroy()
        self.assertEqual(1, len(self.found(mapping.instance_uuid)))

    def test_a_commit_that_always_fails_is_not_known_of(self) -> None:
        self.use_proxy(db_max_retries=3)
        self.proxy.act(Mode.CUT_COMMIT)
        uuid = base.new_uuid()
        error = self.assertRaises(
            exception.DatabaseOutcomeUnknown, self.make_mapping, instance_uuid=uuid
        )
        self.assertIn('may or may not', str(error))
        self.proxy.act(Mode.PASS)
        self.assertEqual([], self.found(uuid))

    def test_a_server_that_is_gone_after_a_commit_is_not_known_of(self) -> None:
        self.use_proxy(db_max_retries=2)
        uuid = base.new_uuid()
        self.proxy.act(Mode.CUT_COMMITTED, times=1, then=Mode.CUT)
        self.assertRaises(exception.DatabaseOutcomeUnknown, self.make_mapping, instance_uuid=uuid)
        self.proxy.act(Mode.PASS)
        self.assertEqual(1, len(self.found(uuid)))

    def test_what_is_lost_before_a_commit_is_tried_again(self) -> None:
        uuid = self.make_mapping().instance_uuid
        self.proxy.cut()
        api.instance_mapping_update(self.context, uuid, {'user_id': 'new'})
        self.proxy.cut()
        self.make_mapping()
        self.proxy.cut()
        self.assertEqual('new', self.found(uuid)[0]['user_id'])

    def make_mapping_past_proxy(self, **values: Any) -> InstanceMapping:
        """With the commit that is to be lost still to come."""
        mode, self.proxy.mode = self.proxy.mode, Mode.PASS
        mapping = self.make_mapping(**values)
        self.proxy.mode = mode
        return mapping

    def execute_beside(self, statement: Any) -> None:
        """As another process, past the proxy."""
        with self.beside().begin() as connection:
            connection.execute(statement)

    def add_beside(self, values: dict[str, Any]) -> None:
        self.execute_beside(self.mapping_table.insert().values(values))

    def remove_beside(self, uuid: str) -> None:
        self.execute_beside(
            self.mapping_table.delete().where(self.mapping_table.c.instance_uuid == uuid)
        )

    def beside(self) -> Any:
        engine = sa.create_engine(self.database.url)
        self.addCleanup(engine.dispose)
        return engine


class _OnTheWay(losses.Case):
    """Silence in place of an answer to the commit."""

    def setUp(self) -> None:
        super().setUp()
        self.mappings = [self.make_mapping(cell_mapping=self.cells[0]) for _ in range(2)]
        self.use_proxy(read_timeout=1, connect_timeout=2, call_timeout=3)

    def calls(self) -> list[Callable[[], Any]]:
        saved, destroyed = self.mappings
        saved.cell_mapping = self.cells[1]
        return [self.make_mapping, saved.save, destroyed.destroy]

    def test_of_what_was_made(self) -> None:
        for call in self.calls():
            self.proxy.act(Mode.HOLE_COMMITTED, times=1)
            call()
        self.assertEqual(2, len(api.instance_mapping_get_all(self.context)))

    def test_of_what_is_still_to_be_made(self) -> None:
        """The transaction is open on the server: it could be made at any time."""
        for call in self.calls():
            self.proxy.act(Mode.HOLE_AT_COMMIT, times=1)
            self.assertRaises(exception.DatabaseOutcomeUnknown, call)
            self.proxy.cut()
        found = api.instance_mapping_get_all(self.context)
        self.assertEqual([self.cells[0].uuid] * 2, [row['cell_uuid'] for row in found])

    def test_of_what_the_server_gives_up_meanwhile(self) -> None:
        for call in self.calls():
            self.proxy.act(Mode.HOLE_AT_COMMIT, times=1)
            with self.meanwhile(self.proxy.cut):
                call()
        self.assertEqual(2, len(api.instance_mapping_get_all(self.context)))


class _ManyMappings(losses.Case):
    def test_create_bulk(self) -> None:
        for _ in self.each_loss():
            rows = [self.values(cell_uuid=self.cells[0].uuid, user_id='u') for _ in range(1500)]
            result = api.instance_mapping_create_bulk(self.context, rows)
            self.assertEqual((1500, 0), (result['created'], result['existing']))
            self.assertEqual(1500, len(self.found(*(row['instance_uuid'] for row in rows))))

    def test_create_bulk_with_ids(self) -> None:
        for _ in self.each_loss():
            rows = [self.values() for _ in range(5)]
            ids = api.instance_mapping_create_bulk(self.context, rows, with_ids=True)['ids']
            found = self.found(*(row['instance_uuid'] for row in rows))
            self.assertEqual({row['instance_uuid']: row['id'] for row in found}, ids)

    def test_create_bulk_of_some_that_exist(self) -> None:
        existing = [self.values() for _ in range(5)]
        api.instance_mapping_create_bulk(self.context, existing)
        for _ in self.each_loss():
            rows = [self.values() for _ in range(5)]
            result = InstanceMappingList.create_bulk(
                self.context, [InstanceMapping(self.context, **row) for row in rows + existing]
            )
            self.assertEqual((5, 5), (result['created'], result['existing']))

    def test_destroy_bulk(self) -> None:
        for loss in self.each_loss():
            with self.kept(loss):
                uuids = [self.make_mapping().instance_uuid for _ in range(5)]
            self.assertEqual(5, api.instance_mapping_destroy_bulk(self.context, uuids))
            self.assertEqual([], self.found(*uuids))

    def test_destroy_seen(self) -> None:
        for loss in self.each_loss():
            with self.kept(loss):
                uuids = [self.make_mapping().instance_uuid for _ in range(5)]
            removed = api.instance_mapping_destroy_seen(self.context, self.found(*uuids))
            self.assertEqual({*uuids}, {*removed})
            self.assertEqual([], self.found(*uuids))

    def test_update_bulk(self) -> None:
        for loss in self.each_loss():
            with self.kept(loss):
                uuids = [self.make_mapping().instance_uuid for _ in range(5)]
            changes = [(row, {'user_id': 'new'}) for row in self.found(*uuids)]
            changed = api.instance_mapping_update_bulk(self.context, changes)
            self.assertEqual({*uuids}, {*changed})
            self.assertEqual({'new'}, {row['user_id'] for row in self.found(*uuids)})

    def test_map_batch(self) -> None:
        cell, other = self.cells
        conflicting = [self.values() for _ in range(3)]
        api.instance_mapping_create_bulk(
            self.context, [{**row, 'cell_uuid': other.uuid} for row in conflicting]
        )
        conflicts = 0
        for number, _ in enumerate(self.each_loss(), 1):
            rows = [self.values() for _ in range(5 * (number - 1))] + conflicting
            result = api.instance_mapping_map_batch(
                self.context, cell.uuid, rows, last_instance_id=number
            )
            conflicts += 3
            self.assertEqual(len(rows) - 3, result['created'])
            self.assertEqual(3, len(result['conflicts']))
            progress = api.map_progress_get(self.context, cell.uuid)
            self.assertEqual({'last_instance_id': number, 'conflicts': conflicts}, progress)

    @contextlib.contextmanager
    def kept(self, mode: Mode) -> Iterator[None]:
        """A block in which nothing is lost."""
        self.proxy.act(Mode.PASS)
        yield
        self.proxy.act(mode, times=1)


class _Cells(losses.Case):
    def test_create(self) -> None:
        for loss in self.each_loss():
            cell = self.make_cell(name=loss.value)
            self.assertEqual(cell.id, CellMapping.get_by_name(self.context, loss.value).id)

    def test_save(self) -> None:
        for loss in self.each_loss():
            self.cells[0].name = f'new {loss.value}'
            self.cells[0].save()
            found = CellMapping.get_by_uuid(self.context, self.cells[0].uuid)
            self.assertEqual(f'new {loss.value}', found.name)

    def test_destroy(self) -> None:
        for cell, _ in zip(self.cells, self.each_loss(), strict=True):
            cell.destroy()
            self.assertRaises(
                exception.CellMappingNotFound, CellMapping.get_by_uuid, self.context, cell.uuid
            )

    def test_create_bulk(self) -> None:
        for loss in self.each_loss():
            cells = [
                {
                    'uuid': base.new_uuid(),
                    'name': f'{loss.value} {number}',
                    'transport_url': 'none:///',
                    'database_connection': 'none:///',
                }
                for number in range(3)
            ]
            result = api.cell_mapping_create_bulk(self.context, cells)
            self.assertEqual((3, 0), (result['created'], result['existing']))


class Conducted(losses.Case):
    """Through a conductor on another process's side of a commit that is lost."""

    kind = 'mariadb'

    def setUp(self) -> None:
        super().setUp()
        database: Any = types.SimpleNamespace(url=self.proxy.url(self.database.url))
        conductor = self.useFixture(fixtures.Conductor(database))
        CellMapObject.indirection_api = conductor.api
        self.addCleanup(setattr, CellMapObject, 'indirection_api', None)

    def test_what_can_be_told_is_told(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping()
            found = InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)
            self.assertEqual(mapping.id, found.id)

    def test_what_cannot_crosses_as_itself(self) -> None:
        self.proxy.act(Mode.CUT_COMMIT)
        error = self.assertRaises(exception.DatabaseOutcomeUnknown, self.make_mapping)
        self.assertIn('may or may not', str(error))
        self.proxy.act(Mode.PASS)


losses.on_servers(_OneMapping, _OnTheWay, _ManyMappings, _Cells)
del _OneMapping, _OnTheWay, _ManyMappings, _Cells


@base.on_each_database
class Proofs(base.TestCase):
    """What each proof says, in a transaction of a later time."""

    def look(self, *proofs: outcome.Proof) -> Outcome:
        with engine.of().writer.begin() as connection:
            return outcome.combined(proofs, connection)

    @property
    def key(self) -> sa.Column[str]:
        return self.mapping_table.c.instance_uuid

    def store(self, uuids: Sequence[str], **values: Any) -> None:
        self.execute(self.mapping_table.update().where(self.key.in_(uuids)).values(values))

    def test_a_row_that_was_inserted(self) -> None:
        mapping = self.make_mapping()
        uuid, number = mapping.instance_uuid, mapping.id
        self.assertIs(Outcome.MADE, self.look(outcome.inserted(self.key, uuid, number)))
        # Another's.
        self.assertIs(Outcome.NOT_MADE, self.look(outcome.inserted(self.key, uuid, number + 1)))
        new = outcome.inserted(self.key, base.new_uuid(), number)
        self.assertIs(Outcome.NOT_SEEN, self.look(new))

    def test_rows_that_were_inserted(self) -> None:
        rows = [{'instance_uuid': base.new_uuid(), 'project_id': 'p'} for _ in range(1001)]
        made = outcome.inserted_all(self.key, rows)
        self.assertIs(Outcome.NOT_SEEN, self.look(made))
        self.execute(self.mapping_table.insert().values(rows))
        self.assertIs(Outcome.MADE, self.look(made))
        self.store([rows[-1]['instance_uuid']], project_id='another')
        self.assertIs(Outcome.NOT_SEEN, self.look(made))

    def test_a_row_that_was_changed(self) -> None:
        uuid = self.make_mapping().instance_uuid
        values = {'project_id': 'new', 'updated_at': _NOW}
        changed = outcome.updated(self.key, uuid, values)
        self.assertIs(Outcome.NOT_MADE, self.look(changed))
        for stored, expected in (
            ({'project_id': 'new', 'updated_at': _NOW}, Outcome.MADE),
            ({'project_id': 'p', 'updated_at': _NOW - _SECOND}, Outcome.NOT_MADE),
            # Of another who came after it, or did not.
            ({'project_id': 'p', 'updated_at': _NOW}, Outcome.UNKNOWN),
        ):
            self.store([uuid], **stored)
            self.assertEqual((stored, expected), (stored, self.look(changed)))
        gone = outcome.updated(self.key, base.new_uuid(), values)
        self.assertIs(Outcome.NOT_MADE, self.look(gone))

    def test_a_row_that_was_compared_and_swapped(self) -> None:
        uuid = self.make_mapping().instance_uuid
        values = {'project_id': 'new', 'updated_at': _NOW}
        swapped = outcome.updated(self.key, uuid, values, {'project_id': 'project'})
        self.assertIs(Outcome.NOT_MADE, self.look(swapped))
        self.store([uuid], **values)
        self.assertIs(Outcome.MADE, self.look(swapped))
        self.store([uuid], project_id='third')
        self.assertIs(Outcome.UNKNOWN, self.look(swapped))

    def test_rows_that_were_changed(self) -> None:
        uuids = [str(self.make_mapping().instance_uuid) for _ in range(3)]
        values = {'project_id': 'new', 'updated_at': _NOW}
        changed = outcome.updated_all(self.key, uuids, values, 2)
        for count, expected in enumerate((Outcome.NOT_MADE, Outcome.UNKNOWN, Outcome.MADE)):
            self.store(uuids[:count], **values)
            self.assertEqual((count, expected), (count, self.look(changed)))

    def test_a_place_that_was_come_to(self) -> None:
        uuid = self.make_mapping().instance_uuid
        self.assertIs(Outcome.MADE, self.look(outcome.come_to(self.key == uuid)))
        elsewhere = outcome.come_to(self.key == base.new_uuid())
        self.assertIs(Outcome.NOT_SEEN, self.look(elsewhere))

    def test_rows_that_were_removed(self) -> None:
        mapping = self.make_mapping()
        uuid, number = mapping.instance_uuid, mapping.id
        by_id = outcome.deleted(self.mapping_table.c.id, [number, number + 1])
        by_uuid = outcome.deleted(self.key, [uuid, base.new_uuid()])
        self.assertIs(Outcome.NOT_MADE, self.look(by_id))
        # Another may have mapped the instance since.
        self.assertIs(Outcome.UNKNOWN, self.look(by_uuid))
        mapping.destroy()
        self.assertIs(Outcome.MADE, self.look(by_id))
        self.assertIs(Outcome.MADE, self.look(by_uuid))

    def test_a_transaction_was_made_as_a_whole(self) -> None:
        made, not_made, not_seen, unknown = (
            functools.partial(lambda found, connection: found, each)
            for each in (Outcome.MADE, Outcome.NOT_MADE, Outcome.NOT_SEEN, Outcome.UNKNOWN)
        )
        self.assertIs(Outcome.NOT_SEEN, self.look())
        self.assertIs(Outcome.MADE, self.look(not_seen, unknown, made))
        self.assertIs(Outcome.NOT_MADE, self.look(not_seen, unknown, not_made))
        self.assertIs(Outcome.UNKNOWN, self.look(not_seen, unknown))


_NOW = datetime.datetime(2026, 2, 3, 4, 5, 6)
_SECOND = datetime.timedelta(seconds=1)
