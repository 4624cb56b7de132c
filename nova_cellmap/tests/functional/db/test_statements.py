# SPDX-License-Identifier: Apache-2.0
"""What is read through the driver is what SQLAlchemy would have read."""

import contextlib
import datetime
import gc
import itertools
import sqlite3
from typing import Any
from unittest import mock

import fixtures
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import statements
from nova_cellmap.tests import stock_paths
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy

_PROJECTS = ('p', 'é\'"\\%s:x')


@base.on_both_schemas
class Prepared(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cells = [self.make_cell(name='one'), self.make_cell(name='two', disabled=True)]
        rows = []
        for number in range(12):
            rows.append(
                {
                    'instance_uuid': base.new_uuid(),
                    'cell_uuid': [None, *(cell.uuid for cell in self.cells)][number % 3],
                    'project_id': _PROJECTS[number % 2],
                    'user_id': ['u', None][number % 2],
                    'queued_for_delete': [False, True, None][number % 3],
                    'created_at': datetime.datetime(2020, 2, 29, 23, 59, number),
                    'updated_at': [None, datetime.datetime(1970, 1, 1)][number % 2],
                }
            )
        self.execute(sa.insert(self.mapping_table).values(rows))
        self.uuids = [str(row['instance_uuid']) for row in rows]

    def assert_same(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Answers and errors are the same, and so are their types."""
        results = []
        for switch in (stock_paths.only, contextlib.nullcontext):
            for block in (contextlib.nullcontext, api.reader):
                with switch(), block(self.context):
                    results.append(_outcome(function, self.context, *args, **kwargs))
        for other in results[1:]:
            self.assertEqual(repr(results[0]), repr(other))
        return results[0]

    def test_a_lookup(self) -> None:
        for uuid in self.uuids:
            self.assert_same(api.instance_mapping_get_by_instance_uuid, uuid)
        odd: Any = (base.new_uuid(), '', 'x\0', '\ud800', None, 5, b'x', [], 2**70)
        for value in odd:
            outcome = self.assert_same(api.instance_mapping_get_by_instance_uuid, value)
            self.assertIsInstance(outcome, tuple)

    def test_lookups_of_many(self) -> None:
        others = [base.new_uuid() for _ in range(1040)]
        for found, missing in itertools.product((0, 1, 12), (0, 1, 8, 19, 20, 1039)):
            uuids = self.uuids[:found] + others[:missing]
            for limit, marker in ((None, None), (2, None), (None, self.uuids[0]), (0, 'x')):
                self.assert_same(
                    api.instance_mapping_get_by_instance_uuids, uuids, limit=limit, marker=marker
                )
        odd: Any = ('', 'x\0', '\ud800', None, 5, b'x', 2**70)
        for value in odd:
            self.assert_same(
                api.instance_mapping_get_by_instance_uuids, [self.uuids[0], value, self.uuids[1]]
            )

    def test_lists(self) -> None:
        for project, cell, queued, limit, marker in itertools.product(
            (None, *_PROJECTS, 'none'),
            (None, self.cells[0].uuid),
            (True, False),
            (None, 0, 2, 50),
            (None, self.uuids[4], 'x'),
        ):
            self.assert_same(
                api.instance_mapping_get_all,
                project_id=project,
                cell_uuid=cell,
                include_queued_for_delete=queued,
                limit=limit,
                marker=marker,
            )
        for number in (self.cells[0].id, 0):
            self.assert_same(api.instance_mapping_get_by_cell_id, number, limit=3)

    def test_lists_of_what_is_no_value(self) -> None:
        odd: Any = (5, b'x', [], 'x\0', '\ud800', 2**70, True)
        for value in odd:
            self.assert_same(api.instance_mapping_get_all, project_id=value)
            self.assert_same(api.instance_mapping_get_all, marker=value)
            self.assert_same(api.instance_mapping_get_all, limit=value)

    def test_cells(self) -> None:
        for disabled, limit in itertools.product((None, True, False), (None, 1)):
            self.assert_same(api.cell_mapping_get_all, disabled=disabled, limit=limit)
        for project in (*_PROJECTS, 'none'):
            self.assert_same(api.cell_mapping_get_by_project_id, project)

    def test_sqlalchemy_is_not_asked(self) -> None:
        # The cells are known from now on.
        api.instance_mapping_get_all(self.context)
        values = {
            'instance_uuid': base.new_uuid(),
            'project_id': 'p',
            'cell_uuid': self.cells[0].uuid,
        }
        with mock.patch.object(sa.Connection, 'execute', side_effect=AssertionError):
            api.instance_mapping_get_by_instance_uuid(self.context, self.uuids[1])
            api.instance_mapping_get_all(
                self.context, project_id='p', limit=2, marker=self.uuids[2]
            )
            with api.reader(self.context):
                api.instance_mapping_get_by_instance_uuid(self.context, self.uuids[1])
            api.instance_mapping_create(self.context, values)

    def test_what_is_interrupted_is_not_gone_on_with(self) -> None:
        api.instance_mapping_get_by_instance_uuid(self.context, self.uuids[0])
        for block in (None, api.reader):
            with mock.patch.object(
                statements._Statement, 'arguments', side_effect=KeyboardInterrupt
            ):
                self.assertRaises(KeyboardInterrupt, self.look_up, block)
            # By another connection: on this one an answer could still be on its way.
            self.look_up(block)
        self.assertEqual(0, engine.of().reader.pool.checkedout())  # type: ignore[attr-defined]

    def look_up(self, block: Any) -> None:
        def get() -> None:
            # The cells are known, and so it goes through the driver.
            api.instance_mapping_get_all(self.context)
            api.instance_mapping_get_by_instance_uuid(self.context, self.uuids[0])

        if block is None:
            get()
            return
        with block(self.context):
            get()

    def test_one_that_is_interrupted_is_not_created(self) -> None:
        values = {'instance_uuid': base.new_uuid(), 'project_id': 'p'}
        with _interrupted():
            self.assertRaises(KeyboardInterrupt, api.instance_mapping_create, self.context, values)
        self.assertEqual(0, engine.of().writer.pool.checkedout())  # type: ignore[attr-defined]
        api.instance_mapping_create(self.context, values)

    def test_what_is_created_is_what_sqlalchemy_would_have_created(self) -> None:
        def create(**values: Any) -> Any:
            uuid = base.new_uuid()
            outcome = _outcome(
                api.instance_mapping_create,
                self.context,
                {'instance_uuid': uuid, 'project_id': 'p', **values},
            )
            if isinstance(outcome, dict):
                read = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
                self.assertEqual(read, outcome)
                # All but what no two have in common.
                return {**outcome, 'id': None, 'instance_uuid': None, 'created_at': None}
            return outcome

        odd: Any = (
            {},
            {'cell_uuid': self.cells[0].uuid, 'user_id': 'u', 'queued_for_delete': True},
            {'project_id': _PROJECTS[1]},
            {'cell_uuid': base.new_uuid()[:-1] + 'x'},
            {'instance_uuid': self.uuids[0]},
            {'instance_uuid': 5},
            {'project_id': '\ud800'},
            {'project_id': 'x' * 256},
            {'user_id': 'x\0'},
            {'queued_for_delete': 'x'},
            {'id': 5},
        )
        for values in odd:
            with stock_paths.only():
                expected = create(**values)
            self.assertEqual(repr(expected), repr(create(**values)))

    def test_what_was_changed_in_a_transaction_is_seen_there(self) -> None:
        with api.writer(self.context):
            api.instance_mapping_update(self.context, self.uuids[0], {'project_id': 'new'})
            found = api.instance_mapping_get_all(self.context, project_id='new')
            self.assertEqual(self.uuids[:1], [row['instance_uuid'] for row in found])
        self.assertEqual(
            'new',
            api.instance_mapping_get_by_instance_uuid(self.context, self.uuids[0])['project_id'],
        )


class Abandoned(base.TestCase):
    """What Python collects later, in any thread, must not wait for a connection of SQLite's."""

    def test_what_fails_leaves_no_statement(self) -> None:
        mapping = self.make_mapping(cell_mapping=self.make_cell())
        values = {'instance_uuid': mapping.instance_uuid, 'project_id': 'p'}
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.assertRaises(
            exception.InstanceMappingExists, api.instance_mapping_create, self.context, values
        )
        self.assertRaises(
            exception.InvalidInput, api.instance_mapping_get_by_instance_uuid, self.context, []
        )
        left = [
            cursor
            for cursor in gc.get_objects()
            if isinstance(cursor, sqlite3.Cursor)
            and 'Statement' in [type(each).__name__ for each in gc.get_referents(cursor)]
        ]
        self.assertEqual([], left)


class Misread(base.TestCase):
    """SQLite keeps anything in any column."""

    def test_a_row_that_cannot_be_read_is_named(self) -> None:
        cell = self.make_cell()
        mapping = self.make_mapping(cell_mapping=cell)
        sound = self.make_mapping(cell_mapping=cell)
        for value in ('rubbish', 5, '0000-00-00 00:00:00', b'\xff'):
            self.execute(
                sa.text(
                    'UPDATE instance_mapping SET updated_at = :value WHERE id = :id'
                ).bindparams(value=value, id=mapping.id)
            )
            for read in (
                lambda: api.instance_mapping_get_by_instance_uuid(
                    self.context, mapping.instance_uuid
                ),
                lambda: api.instance_mapping_get_all(self.context),
                lambda: api.instance_mapping_get_by_instance_uuids(
                    self.context, [sound.instance_uuid, mapping.instance_uuid]
                ),
            ):
                error = self.assertRaises(exception.DatabaseError, read)
                self.assertNotIsInstance(error, exception.DatabaseUnreachable)
                self.assertIn(f'updated_at {value!r} where id {mapping.id} is', str(error))
            api.instance_mapping_get_by_instance_uuid(self.context, sound.instance_uuid)


class _Failing(base.TestCase):
    """Errors of what goes through the driver: none is swallowed, and nothing is sent again."""

    def setUp(self) -> None:
        super().setUp()
        self.uuid = self.make_mapping(cell_mapping=self.make_cell()).instance_uuid
        self.proxy = self.useFixture(Proxy.to(self.database.url))
        url = self.proxy.url(self.database.url)
        nova_cellmap.configure(self.database.conf(connection=url, db_max_retries=3))
        # The cells are known, and so it goes through the driver.
        api.instance_mapping_get_all(self.context)
        self.look_up()
        self.create(base.new_uuid())
        self.proxy.asked = bytearray()
        self.log = self.useFixture(fixtures.FakeLogger('nova_cellmap'))

    def look_up(self) -> None:
        api.instance_mapping_get_by_instance_uuid(self.context, self.uuid)

    def look_up_in_a_block(self) -> None:
        with api.reader(self.context):
            self.look_up()

    def create(self, uuid: str) -> None:
        api.instance_mapping_create(self.context, {'instance_uuid': uuid, 'project_id': 'p'})

    def sent(self, statement: bytes) -> int:
        """How often such a one was sent since this was asked."""
        assert self.proxy.asked is not None
        asked, self.proxy.asked = self.proxy.asked, bytearray()
        return asked.count(statement)

    def test_what_the_server_refuses(self) -> None:
        rename = 'ALTER TABLE instance_mapping RENAME COLUMN {} TO {}'
        self.addCleanup(self.execute, sa.text(rename.format('away', 'user_id')))
        self.execute(sa.text(rename.format('user_id', 'away')))
        self.sent(b'')
        for call in (self.look_up, self.look_up_in_a_block):
            self.assertRaises(exception.SchemaMissing, call)
            self.assertEqual(1, self.sent(b'FROM instance_mapping'))
        self.assertRaises(exception.SchemaMissing, self.create, base.new_uuid())
        self.assertEqual(1, self.sent(b'INSERT INTO instance_mapping'))
        self.assertEqual('', self.log.output)

    def test_what_exists(self) -> None:
        self.assertRaises(exception.InstanceMappingExists, self.create, self.uuid)
        self.assertEqual(1, self.sent(b'INSERT INTO instance_mapping'))
        self.assertEqual('', self.log.output)

    def test_a_lost_connection_is_told_of(self) -> None:
        for call in (self.look_up, lambda: self.create(base.new_uuid())):
            self.proxy.cut()
            call()
            [line] = self.log.output.splitlines()
            self.assertIn(f'Trying again: {self.lost}', line)
            self.log = self.useFixture(fixtures.FakeLogger('nova_cellmap'))

    def test_what_was_wrong_first_is_told_where_connecting_again_fails(self) -> None:
        self.proxy.act(Mode.CUT)
        self.assertRaises(exception.DatabaseUnreachable, self.look_up)
        self.assertIn(f'Trying again: {self.lost}', self.log.output)

    lost: str


class FailingMariadb(_Failing):
    kind = 'mariadb'
    lost = 'Lost connection'


class FailingPostgresql(_Failing):
    kind = 'postgresql'
    lost = 'server closed the connection'


del _Failing


class Idle(base.TestCase):
    kind = 'postgresql'

    def test_no_transaction_is_left_open(self) -> None:
        mapping = self.make_mapping(cell_mapping=self.make_cell())
        for _ in range(3):
            api.instance_mapping_get_by_instance_uuid(self.context, mapping.instance_uuid)
        states = self.execute(
            sa.text(
                'SELECT DISTINCT state FROM pg_stat_activity'
                ' WHERE datname = current_database() AND pid != pg_backend_pid()'
            )
        )
        self.assertEqual([('idle',)], [tuple(row) for row in states])


def _outcome(function: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except exception.CellMapError as error:
        return type(error), str(error)


def _interrupted() -> Any:
    return mock.patch.object(statements._Statement, 'arguments', side_effect=KeyboardInterrupt)
