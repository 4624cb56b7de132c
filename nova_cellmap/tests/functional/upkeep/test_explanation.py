# SPDX-License-Identifier: Apache-2.0
"""Everything about one instance at a glance."""

import datetime
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells.traces import Traces
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import explanation
from nova_cellmap.upkeep.explanation import Explanation
from nova_cellmap.upkeep.explanation import State

_TIME = datetime.datetime(2026, 1, 1)
_METADATA = sa.MetaData()
_SHADOW = sa.Table(
    'shadow_instances',
    _METADATA,
    *(sa.Column(each.name, each.type) for each in nova_cell.instances.c),
    **nova_cell.MYSQL,
)
_SERVICES = sa.Table(
    'services',
    _METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    *(sa.Column(name, sa.String(255)) for name in ('host', 'binary', 'disabled_reason')),
    *(sa.Column(name, sa.Boolean) for name in ('disabled', 'forced_down')),
    *(sa.Column(name, sa.DateTime) for name in ('last_seen_up', 'updated_at')),
    sa.Column('deleted', sa.Integer),
    **nova_cell.MYSQL,
)
_MIGRATIONS = sa.Table(
    'migrations',
    _METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    *(sa.Column(name, sa.String(255)) for name in ('migration_type', 'status')),
    *(sa.Column(name, sa.String(36)) for name in ('uuid', 'instance_uuid')),
    *(sa.Column(name, sa.Boolean) for name in ('cross_cell_move', 'hidden')),
    sa.Column('deleted', sa.Integer),
    **nova_cell.MYSQL,
)


class _Case(cells_base.TestCase):
    def explain(self, uuid: str) -> Explanation:
        before = self.mapped()
        found = explanation.explain(self.context, uuid)
        self.assertEqual(before, self.mapped())
        return found

    def in_cell(self, found: Explanation, cell: CellMapping | None = None) -> Traces:
        wanted = (cell or self.cell).uuid
        [traces] = [each for each in found.cells if each.cell.uuid == wanted]
        return traces

    def kinds(self, found: Explanation) -> list[str]:
        return [problem.kind.value for problem in found.problems]

    def whole_cell(self, name: str) -> tuple[CellMapping, sa.Engine]:
        """A cell with all of the tables that are looked at."""
        database = self.useFixture(fixtures.Database(self.kind))
        engine = fixtures.engine(database.url, poolclass=sa.NullPool)
        nova_cell.instances.create(engine)
        _METADATA.create_all(engine)
        return self.make_cell(name=name, database_connection=database.url), engine

    def insert(self, engine: sa.Engine, table: sa.Table, **values: Any) -> None:
        with engine.begin() as connection:
            connection.execute(table.insert().values(values))


@base.on_both_schemas
class Verdicts(_Case):
    def test_a_correct_one(self) -> None:
        uuid = nova_cell.add(self.nova, host='compute1')
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        found = self.explain(uuid.upper())
        self.assertEqual((State.CORRECT, [], None), (found.state, found.problems, found.repair))
        assert found.mapping is not None
        self.assertEqual(self.cell.uuid, found.mapping['cell_uuid'])
        [row] = self.in_cell(found).instances
        self.assertEqual((uuid, 'active', 'compute1'), (row['uuid'], row['vm_state'], row['host']))
        self.assertEqual((False, False), (row['hidden'], row['deleted']))

    def test_each_problem_has_the_command_that_repairs_it(self) -> None:
        other, nova = self.new_cell('cell2')
        missing, wrong, twice = (nova_cell.add(self.nova) for _ in range(3))
        nova_cell.add(nova, uuid=twice)
        odd = nova_cell.add(self.nova, project_id='p\x1b')
        self.make_mapping(instance_uuid=wrong, cell_uuid=other.uuid)
        self.make_mapping(instance_uuid=twice, cell_uuid=self.cell.uuid)
        orphaned = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        for uuid, kind, words in (
            (missing, 'missing', ['audit', '--instance', missing, '--repair']),
            (wrong, 'wrong_cell', ['audit', '--instance', wrong, '--repair']),
            (orphaned, 'orphaned', ['audit', '--instance', orphaned, '--purge']),
            (twice, 'duplicate', ['resolve_duplicate', twice, '--keep', 'CELL']),
            (odd, 'invalid_row', []),
        ):
            found = self.explain(uuid)
            self.assertEqual((State.PROBLEMS, [kind]), (found.state, self.kinds(found)))
            self.assertEqual(words, (found.repair or [])[1:])

    def test_one_that_nova_is_at_work_on(self) -> None:
        uuid = nova_cell.add(self.nova, task_state='deleting')
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid, queued_for_delete=True)
        found = self.explain(uuid)
        self.assertEqual((State.IN_FLIGHT, [], None), (found.state, found.problems, found.repair))

    def test_what_nobody_knows(self) -> None:
        found = self.explain(base.new_uuid())
        self.assertEqual((State.NOWHERE, None), (found.state, found.mapping))
        self.assertRaises(exception.InvalidInput, self.explain, '1234')

    def test_one_that_is_mapped_to_no_cell(self) -> None:
        found = self.explain(self.make_mapping().instance_uuid)
        self.assertEqual((State.CORRECT, []), (found.state, found.problems))


@base.on_both_schemas
class Cells(_Case):
    def test_hidden_deleted_and_archived_rows(self) -> None:
        other, nova = self.whole_cell('cell2')
        uuid = nova_cell.add(self.nova, hidden=True)
        nova_cell.add(nova, uuid=uuid, deleted=7, deleted_at=_TIME)
        self.insert(nova, _SHADOW, id=3, uuid=uuid, vm_state='deleted', deleted=3)
        found = self.explain(uuid)
        [hidden] = self.in_cell(found).instances
        [deleted] = self.in_cell(found, other).instances
        [shadow] = self.in_cell(found, other).shadow_instances
        self.assertEqual((True, False), (hidden['hidden'], hidden['deleted']))
        self.assertEqual((False, True), (deleted['hidden'], deleted['deleted']))
        self.assertEqual('2026-01-01 00:00:00', deleted['deleted_at'][:19])
        self.assertEqual((3, 'deleted'), (shadow['id'], shadow['vm_state']))
        self.assertEqual([], self.in_cell(found).shadow_instances)

    def test_the_service_of_the_host_and_the_migrations(self) -> None:
        other, nova = self.whole_cell('cell2')
        uuid = nova_cell.add(nova, host='compute1', task_state='resize_migrating')
        service = {'binary': 'nova-compute', 'deleted': 0, 'last_seen_up': _TIME}
        off = {'disabled': True, 'disabled_reason': 'x'}
        self.insert(nova, _SERVICES, host='compute1', **off, **service)
        self.insert(nova, _SERVICES, host='compute2', **service)
        self.insert(nova, _SERVICES, host='compute1', **{**service, 'binary': 'nova-other'})
        for status in ('error', 'migrating'):
            self.insert(
                nova,
                _MIGRATIONS,
                instance_uuid=uuid,
                status=status,
                cross_cell_move=True,
                deleted=0,
            )
        self.insert(nova, _MIGRATIONS, instance_uuid=base.new_uuid(), deleted=0)
        traces = self.in_cell(self.explain(uuid), other)
        self.assertIsNone(traces.error)
        [row] = traces.services
        shown = {name: row[name] for name in ('host', 'disabled', 'disabled_reason')}
        self.assertEqual({'host': 'compute1', 'disabled': True, 'disabled_reason': 'x'}, shown)
        self.assertEqual(['migrating', 'error'], [row['status'] for row in traces.migrations])
        self.assertIs(True, traces.migrations[0]['cross_cell_move'])

    def test_another_spelling(self) -> None:
        uuid = base.new_uuid()
        nova_cell.add(self.nova, uuid=uuid.upper())
        [row] = self.in_cell(self.explain(uuid)).instances
        self.assertEqual(uuid.upper(), row['uuid'])

    def test_a_cell_that_does_not_answer(self) -> None:
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        uuid = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        found = self.explain(uuid)
        self.assertFalse(found.are_all_cells_read)
        self.assertIn('lost', str(self.in_cell(found, lost).error))
        self.assertEqual(1, len(self.in_cell(found).instances))
        self.assertEqual(State.CORRECT, found.state)
        there = self.make_mapping(cell_uuid=lost.uuid).instance_uuid
        self.assertEqual(State.UNKNOWN, self.explain(there).state)
        self.assertEqual(State.UNKNOWN, self.explain(base.new_uuid()).state)

    def test_a_database_that_is_no_cells(self) -> None:
        odd = self.make_cell(
            name='odd', database_connection=cells_base.url_of(self.new_database())
        )
        traces = self.in_cell(self.explain(base.new_uuid()), odd)
        self.assertIsInstance(traces.error, exception.NotACellDatabase)

    def test_no_cell_at_all(self) -> None:
        self.cell.destroy()
        self.assertEqual(State.NOWHERE, self.explain(base.new_uuid()).state)


@base.on_both_schemas
class NovasTables(_Case):
    def test_what_they_have_is_told_beside_the_mapping(self) -> None:
        uuid = self.make_mapping().instance_uuid
        nova = self.explain(uuid).nova
        if self.schema == 'own':
            self.assertIsNone(nova)
        else:
            names = ('build_request', 'request_spec', 'server_group')
            self.assertEqual(dict.fromkeys(names), nova)
