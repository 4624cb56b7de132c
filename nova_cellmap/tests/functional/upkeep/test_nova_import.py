# SPDX-License-Identifier: Apache-2.0
"""Taking over Nova's own API database."""

import contextlib
import datetime
import threading
from typing import Any

import fixtures as base_fixtures
import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import nova_api as upkeep_nova_api
from nova_cellmap.upkeep import nova_import

_cells = own.cell_mapping
_mappings = own.instance_mapping

_COUNTS = ('created', 'existing', 'conflicts')
_CELL_COUNTS = ('cells_created', 'cells_existing', 'cell_conflicts')


class _Case(cells_base.TestCase):
    """A test with Nova's API database, ``api``, and a cell in it that is also here."""

    def setUp(self) -> None:
        super().setUp()
        self.api = self.new_nova_api()
        self.cell_id = self.add_standing(self.cell)

    def add_standing(self, cell: CellMapping) -> int:
        """Add a cell to Nova that is here already; answer its id there."""
        return self.add_cell(
            uuid=cell.uuid,
            name=cell.name,
            transport_url=cell.transport_url,
            database_connection=cell.database_connection,
        )

    def add_cell(self, **values: Any) -> int:
        return nova_api.add_cell(self.api, **values)

    def add(self, **values: Any) -> str:
        return nova_api.add(self.api, **{'cell_id': self.cell_id, **values})

    def take_over(self, **options: Any) -> nova_import.ImportRun:
        return nova_import.import_nova(self.context, cells_base.url_of(self.api), **options)

    def logged(self) -> base_fixtures.FakeLogger:
        """What is logged within the block."""
        return base_fixtures.FakeLogger()

    def stopped(self) -> Any:
        """The resume point; None where there is none."""
        rows = self.execute(own.import_progress.select())
        self.assertLess(len(rows), 2)
        return rows[0] if rows else None

    def row(self, uuid: str) -> Any:
        [row] = self.execute(_mappings.select().where(_mappings.c.instance_uuid == uuid))
        return row

    def assert_run(self, run: nova_import.ImportRun, done: bool = True, **counts: int) -> None:
        """A run with these counts, and 0 of the mappings' counts that are not named."""
        expected = {**dict.fromkeys(_COUNTS, 0), **counts, 'done': done}
        self.assertEqual(expected, {name: getattr(run, name) for name in expected})

    def assert_cells(self, run: nova_import.ImportRun, *counts: int) -> None:
        """So many cells were created, existed, were conflicts; besides the one that is here."""
        created, existing, conflicts = counts
        found = tuple(getattr(run, name) for name in _CELL_COUNTS)
        self.assertEqual((created, existing + 1, conflicts), found)


@base.on_each_database
class Cells(_Case):
    def test_a_cell_comes_over_as_it_is(self) -> None:
        values: dict[str, Any] = {
            'uuid': base.new_uuid(),
            'name': 'céll ☁',
            'transport_url': 'rabbit://nova:sekret@mq:5672/x',
            'database_connection': 'mysql+pymysql://nova:sekret@db/x?charset=utf8',
            'disabled': True,
            'created_at': datetime.datetime(2020, 2, 29, 12, 30, 59),
        }
        self.add_cell(**values)
        self.assert_cells(self.take_over(), 1, 0, 0)
        [row] = self.execute(_cells.select().where(_cells.c.uuid == values['uuid']))
        self.assertEqual(values, {name: getattr(row, name) for name in values})

    def test_a_template_stays_one(self) -> None:
        template = '{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}'
        self.add_cell(name='t', transport_url=template, database_connection=template)
        self.take_over()
        [row] = self.execute(_cells.select().where(_cells.c.name == 't'))
        self.assertEqual((template, template), (row.transport_url, row.database_connection))

    def test_what_nova_leaves_empty(self) -> None:
        uuid = base.new_uuid()
        self.add_cell(uuid=uuid, transport_url=None, database_connection=None, created_at=None)
        self.add_cell()
        self.assert_cells(self.take_over(), 2, 0, 0)
        cell = CellMapping.get_by_uuid(self.context, uuid)
        self.assertEqual(('none:///', 'none:///'), (cell.transport_url, cell.database_connection))
        self.assertEqual((None, False), (cell.name, cell.disabled))
        self.assertIsNotNone(cell.created_at)

    def test_a_second_run_finds_them_all(self) -> None:
        self.add_cell(name='a')
        self.add_cell()
        self.take_over()
        self.assert_cells(self.take_over(), 0, 2, 0)

    def test_a_disabled_cell_is_no_other_one(self) -> None:
        self.cell.disabled = True
        self.cell.save()
        self.assert_cells(self.take_over(), 0, 0, 0)
        self.assertTrue(CellMapping.get_by_uuid(self.context, self.cell.uuid).disabled)

    def test_one_that_stands_otherwise_is_left_and_its_mappings_are_taken_over(self) -> None:
        columns = ('name', 'transport_url', 'database_connection')
        uuids = []
        for column in columns:
            cell = self.make_cell(name=column)
            here = {'name': column, column: 'none:///elsewhere'}
            uuids.append(self.add(cell_id=self.add_cell(uuid=cell.uuid, **here)))
        before = self.execute(_cells.select())
        with self.logged() as log:
            run = self.take_over()
        self.assert_cells(run, 0, 0, 3)
        self.assert_run(run, created=3)
        self.assertEqual(before, self.execute(_cells.select()))
        for column in columns:
            uuid = CellMapping.get_by_name(self.context, column).uuid
            self.assertIn(f'cell {uuid} has another {column}', log.output)
        self.assertEqual(set(uuids), set(self.mapped()))

    def test_one_whose_name_is_taken_is_left_out_with_its_mappings(self) -> None:
        uuid = base.new_uuid()
        number = self.add_cell(uuid=uuid, name='cell1')
        mapped, unmapped = self.add(), self.add(cell_id=number)
        with self.logged() as log:
            run = self.take_over()
        self.assert_cells(run, 0, 0, 1)
        self.assert_run(run, created=1, conflicts=1)
        self.assertEqual({mapped: self.cell.uuid}, self.mapped())
        for text in (uuid, self.cell.uuid, unmapped, f'cell number {number}'):
            self.assertIn(text, log.output)

    def test_one_that_is_renamed_here_can_be_gone_on_with(self) -> None:
        uuid = base.new_uuid()
        mapped = self.add(cell_id=self.add_cell(uuid=uuid, name='cell1'))
        self.take_over()
        self.cell.name = 'renamed'
        self.cell.save()
        run = self.take_over()
        self.assert_run(run, created=1)
        self.assertEqual({mapped: uuid}, self.mapped())

    def test_the_database_of_another_cell_is_no_cell_of_its_own(self) -> None:
        number = self.add_cell(name='again', database_connection=self.cell.database_connection)
        self.add(cell_id=number)
        run = self.take_over()
        self.assert_cells(run, 0, 0, 1)
        self.assert_run(run, conflicts=1)

    def test_names_that_repeat_in_nova(self) -> None:
        first, second = base.new_uuid(), base.new_uuid()
        for uuid in (first, second):
            self.add(cell_id=self.add_cell(uuid=uuid, name='same'))
        run = self.take_over()
        self.assert_cells(run, 1, 0, 1)
        self.assert_run(run, created=1, conflicts=1)
        self.assertEqual(first, CellMapping.get_by_name(self.context, 'same').uuid)

    def test_names_that_differ_only_in_case(self) -> None:
        for name in ('east', 'East', 'EAST'):
            self.add_cell(name=name)
        self.assert_cells(self.take_over(), 3, 0, 0)


@base.on_each_database
class Mappings(_Case):
    def test_a_mapping_comes_over_as_it_is(self) -> None:
        created_at = datetime.datetime(2020, 2, 29, 12, 30, 59)
        uuid = self.add(
            project_id='projéct ☁',
            user_id='üser',
            queued_for_delete=True,
            created_at=created_at,
        )
        self.assert_run(self.take_over(), created=1)
        row = self.row(uuid)
        self.assertEqual(self.cell.uuid, row.cell_uuid)
        self.assertEqual(('projéct ☁', 'üser'), (row.project_id, row.user_id))
        self.assertIs(True, row.queued_for_delete)
        self.assertEqual((created_at, None), (row.created_at, row.updated_at))

    def test_owners_that_few_character_sets_have_stay_apart(self) -> None:
        owners = {self.add(project_id=name, user_id=name): name for name in samples.NAMES}
        self.assert_run(self.take_over(), created=len(owners))
        self.assertEqual({uuid: (name, name) for uuid, name in owners.items()}, self.owners())

    def test_what_nova_leaves_empty(self) -> None:
        uuid = self.add(user_id=None, queued_for_delete=None, created_at=None, cell_id=None)
        self.assert_run(self.take_over(), created=1)
        found = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual((None, None), (found.cell_uuid, self.row(uuid).user_id))
        self.assertIs(False, self.row(uuid).queued_for_delete)
        self.assertIsNotNone(found.created_at)

    def test_all_of_a_large_database(self) -> None:
        other = base.new_uuid()
        numbers = (self.cell_id, self.add_cell(uuid=other), None)
        nova_api.fill(self.api, 2500, cells=numbers)
        self.assert_run(self.take_over(), created=2500)
        uuids = dict(zip(numbers, (self.cell.uuid, other, None), strict=True))
        table = nova_api.instance_mappings
        with self.api.connect() as connection:
            rows = connection.execute(sa.select(table.c.instance_uuid, table.c.cell_id)).all()
        self.assertEqual({row[0]: uuids[row[1]] for row in rows}, self.mapped())

    def test_an_empty_database(self) -> None:
        nova_api.empty(self.api)
        run = self.take_over()
        self.assert_run(run)
        self.assertEqual({}, self.mapped())

    def test_where_nova_keeps_its_place_is_no_mapping(self) -> None:
        uuid = self.add()
        self.add(
            instance_uuid=uuid.replace('-', ' '),
            project_id=nova_api.MARKER,
            user_id=nova_api.MARKER,
            cell_id=None,
        )
        nowhere = '00000000-0000-0000-0000-000000000000'
        self.add(instance_uuid=nowhere, project_id=nowhere, user_id=nowhere)
        run = self.take_over()
        self.assert_run(run, created=1)
        self.assertEqual(run.end_id, run.last_id)
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())

    def test_what_stands_already_is_left_as_it_is(self) -> None:
        uuid = self.add(project_id='theirs', queued_for_delete=True)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid, project_id='ours')
        before = self.row(uuid)
        self.assert_run(self.take_over(), existing=1)
        self.assertEqual(before, self.row(uuid))

    def test_one_that_stands_with_another_cell_is_a_conflict(self) -> None:
        other = self.make_cell(name='other')
        uuid = self.add()
        self.make_mapping(instance_uuid=uuid, cell_uuid=other.uuid)
        before = self.row(uuid)
        with self.logged() as log:
            self.assert_run(self.take_over(), conflicts=1)
        self.assertEqual(before, self.row(uuid))
        self.assertIn(f'instance {uuid} is mapped to cell {other.uuid}', log.output)

    def test_one_that_stands_with_no_cell_gets_the_one_that_nova_has(self) -> None:
        other = self.make_cell(name='other')
        uuids = (self.add(), self.add(cell_id=self.add_standing(other)), self.add(cell_id=None))
        for uuid in uuids:
            self.make_mapping(instance_uuid=uuid, cell_uuid=None)
        self.assert_run(self.take_over(), created=2, existing=1)
        expected = dict(zip(uuids, (self.cell.uuid, other.uuid, None), strict=True))
        self.assertEqual(expected, self.mapped())

    def test_one_that_has_a_cell_here_and_none_in_nova_is_no_conflict(self) -> None:
        uuid = self.add(cell_id=None)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        self.assert_run(self.take_over(), existing=1)
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())

    def test_all_that_can_be_in_one_batch(self) -> None:
        other = self.make_cell(name='other')
        for cell_uuid in (self.cell.uuid, other.uuid, None):
            for number in (self.cell_id, None):
                uuid = self.add(cell_id=number)
                self.make_mapping(instance_uuid=uuid, cell_uuid=cell_uuid)
        self.add()
        self.add(cell_id=None)
        self.assert_run(self.take_over(), created=3, existing=4, conflicts=1)

    def test_a_second_run_changes_nothing(self) -> None:
        nova_api.fill(self.api, 30, cells=(self.cell_id, None))
        self.take_over()
        before = self.execute(_mappings.select())
        self.assert_run(self.take_over(), existing=30)
        self.assertEqual(before, self.execute(_mappings.select()))

    def test_nova_is_left_alone(self) -> None:
        nova_api.fill(self.api, 30, cells=(self.cell_id, None))
        before = self.nova_rows()
        self.take_over(batch_size=7)
        self.assertEqual(before, self.nova_rows())

    def nova_rows(self) -> list[Any]:
        with self.api.connect() as connection:
            tables = nova_api.metadata.sorted_tables
            return [connection.execute(table.select()).all() for table in tables]

    def test_mappings_that_appear_behind_what_was_read(self) -> None:
        nova_api.fill(self.api, 4, cells=(self.cell_id,))

        def add_one(run: nova_import.ImportRun) -> None:
            if run.rows == 1:
                self.add()

        self.assert_run(self.take_over(batch_size=1, on_batch=add_one), created=5)

    def test_a_thousand_conflicts_are_not_all_logged(self) -> None:
        nova_api.fill(self.api, 250, cells=(self.add_cell(name='cell1'),))
        with self.logged() as log:
            self.assert_run(self.take_over(batch_size=40), conflicts=250)
        self.assertEqual(100, log.output.count('was not taken over'))
        self.assertEqual(1, log.output.count('counted and not shown'))

    def test_a_cell_that_is_removed_meanwhile(self) -> None:
        nova_api.fill(self.api, 60, cells=(self.cell_id,))
        other = context.get_admin_context()
        removed: list[int] = []

        def remove(run: nova_import.ImportRun) -> None:
            # The next batches, as many as are under way, may map to it once more.
            while not removed:
                with contextlib.suppress(exception.CellMappingInUse):
                    api.instance_mapping_destroy_bulk(other, self.mapped())
                    api.cell_mapping_destroy(other, self.cell.uuid)
                    removed.append(run.rows)

        self.assertRaises(
            exception.CellMappingNotFound, self.take_over, batch_size=1, on_batch=remove
        )
        self.assertEqual(({}, 1), (self.mapped(), len(removed)))
        # The next run adds the cell again.
        self.assertTrue(self.take_over(reset=True).done)
        self.assertEqual(60, len(self.mapped()))

    def test_a_run_that_fails_leaves_no_thread(self) -> None:
        nova_api.fill(self.api, 4, cells=(self.cell_id,))
        before = threading.active_count()

        def fail(run: nova_import.ImportRun) -> None:
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.take_over, batch_size=1, on_batch=fail)
        self.assertEqual(before, threading.active_count())


@base.on_each_database
class Resume(_Case):
    def setUp(self) -> None:
        super().setUp()
        for number in range(1, 8):
            self.add(id=number * 10)

    def test_it_goes_on_exactly_behind(self) -> None:
        self.assert_run(self.take_over(max_count=3), done=False, created=3)
        self.assertEqual(30, self.stopped().last_mapping_id)
        run = self.take_over(max_count=3)
        self.assert_run(run, done=False, created=3)
        self.assertEqual((30, 60, 70), (run.first_id, run.last_id, run.end_id))
        self.assert_run(self.take_over(max_count=3), created=1)
        self.assertIsNone(self.stopped())

    def test_batches_of_any_size_keep_to_the_count(self) -> None:
        self.assert_run(self.take_over(max_count=5, batch_size=2), done=False, created=5)
        self.assertEqual(50, self.stopped().last_mapping_id)

    def test_a_count_of_exactly_what_there_is_comes_to_the_end(self) -> None:
        self.assert_run(self.take_over(max_count=7), created=7)

    def test_reset_begins_anew(self) -> None:
        self.take_over(max_count=3)
        run = self.take_over(reset=True)
        self.assertEqual(0, run.first_id)
        self.assert_run(run, created=4, existing=3)

    def test_the_conflicts_of_the_stopped_runs_count_in_the_last(self) -> None:
        taken = self.add_cell(name='cell1')
        self.add(id=1, cell_id=taken)
        self.make_mapping(
            instance_uuid=self.add(id=2), cell_uuid=self.make_cell(name='other').uuid
        )
        self.assert_run(self.take_over(max_count=1), done=False, conflicts=1)
        self.assert_run(self.take_over(max_count=1), done=False, conflicts=2)
        run = self.take_over()
        self.assert_run(run, created=7, conflicts=2)
        self.assert_cells(run, 0, 0, 1)

    def test_the_resume_point_is_the_databases_and_no_users(self) -> None:
        self.take_over(max_count=3)
        url = sa.make_url(cells_base.url_of(self.api))
        if self.kind != 'sqlite':
            url = url.set(username='other', password='sekret')
        text = url.render_as_string(hide_password=False)
        self.assertEqual(self.stopped().source, upkeep_nova_api.source_of(text))

    def test_two_databases_do_not_share_a_resume_point(self) -> None:
        self.take_over(max_count=3)
        self.api = self.new_nova_api()
        nova_api.fill(self.api, 2, cells=(None,))
        self.assert_run(self.take_over(), created=2)
        self.assertEqual(30, self.stopped().last_mapping_id)

    def test_a_database_that_is_lost_in_the_midst_can_be_gone_on_with(self) -> None:
        def rename(old: str, new: str) -> None:
            with self.api.begin() as connection:
                connection.exec_driver_sql(f'ALTER TABLE {old} RENAME TO {new}')

        def lose(run: nova_import.ImportRun) -> None:
            if run.rows == 2:
                rename('instance_mappings', 'lost')

        error = exception.NovaDatabaseUnreachable
        try:
            self.assertRaises(error, self.take_over, batch_size=2, on_batch=lose)
        finally:
            rename('lost', 'instance_mappings')
        self.assertLess(self.stopped().last_mapping_id, 70)
        self.assertTrue(self.take_over().done)
        self.assertEqual(7, len(self.mapped()))


@base.on_each_database
class Shapes(_Case):
    """Databases of other releases than today's, and of something else."""

    def use_database(self, *tables: sa.Table, without: tuple[str, ...] = ()) -> None:
        """Let ``api`` be a new database, with these tables or with Nova's *without* columns."""
        database = self.useFixture(fixtures.Database(self.kind))
        self.api = fixtures.engine(database.url, poolclass=sa.NullPool)
        if without:
            nova_api.create(self.api, without)
        for table in tables:
            table.create(self.api)

    def test_a_database_of_an_older_release(self) -> None:
        self.use_database(without=nova_api.LATER)
        self.cell_id = self.add_standing(self.cell)
        uuids = self.add(), self.add(cell_id=self.add_cell(name='old'))
        run = self.take_over()
        self.assert_cells(run, 1, 0, 0)
        self.assert_run(run, created=2)
        for uuid in uuids:
            self.assertEqual((False, None), tuple(self.row(uuid))[-2:])
        self.assertFalse(CellMapping.get_by_name(self.context, 'old').disabled)

    def test_a_database_without_times(self) -> None:
        self.use_database(without=('created_at', 'updated_at'))
        insert = nova_api.instance_mappings.insert()
        with self.api.begin() as connection:
            connection.execute(insert, {'instance_uuid': base.new_uuid(), 'project_id': 'p'})
        self.assert_run(self.take_over(), created=1)
        [row] = self.execute(_mappings.select())
        self.assertIsNotNone(row.created_at)

    def test_a_database_of_something_else(self) -> None:
        self.api = self.new_database()
        self.assert_not_nova('no table cell_mappings')
        self.use_database(sa.Table('cell_mappings', sa.MetaData(), sa.Column('x', sa.Text)))
        self.assert_not_nova('lacks id, uuid, name, transport_url, database_connection')
        self.use_database(nova_api.cell_mappings)
        self.assert_not_nova('no table instance_mappings')

    def test_the_mapping_database_itself(self) -> None:
        self.api = fixtures.engine(self.database.url)
        self.addCleanup(self.api.dispose)
        self.assert_not_nova('no table cell_mappings')

    def assert_not_nova(self, text: str) -> None:
        error = self.assertRaises(exception.NotANovaDatabase, self.take_over)
        self.assertIn(text, str(error))
        self.assertEqual({}, self.mapped())
        self.assertEqual(1, len(CellMappingList.get_all(self.context)))

    def test_a_database_that_cannot_be_reached(self) -> None:
        url = sa.make_url(cells_base.url_of(self.api))
        if self.kind == 'sqlite':
            url = url.set(database='/no/such/file')
        else:
            url = url.set(port=1, password='sekret')
        self.api = fixtures.engine(url)
        error = self.assertRaises(exception.NovaDatabaseUnreachable, self.take_over)
        self.assertNotIn('sekret', str(error))

    def test_a_url_that_leads_nowhere(self) -> None:
        for text in ('', 'none:///', 'nonsense', 'mysql://{hostname}/nova_api', 'no+such://x/y'):
            error = self.assertRaises(
                exception.InvalidURL, nova_import.import_nova, self.context, text
            )
            self.assertIn('URL', str(error))


@base.on_each_database
class AnyDatabase(_Case):
    """Whatever Nova has and whatever is here."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_cell(name='other')

    @hypothesis.settings(max_examples=10, deadline=None)
    @hypothesis.given(
        st.lists(
            st.tuples(
                st.sampled_from(('here', 'here', 'other', 'taken', None)),
                st.sampled_from(('no mapping', 'no mapping', 'here', 'other', None)),
            ),
            max_size=12,
        ),
        st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), max_size=5),
    )
    def test_any_runs_take_over_as_they_promise(
        self, rows: list[tuple[str | None, str | None]], runs: list[tuple[int, int]]
    ) -> None:
        for table in (_mappings, own.import_progress):
            self.execute(table.delete())
        nova_api.empty(self.api)
        numbers = {
            'here': self.add_standing(self.cell),
            'other': self.add_standing(self.other),
            'taken': self.add_cell(name='other'),
            None: None,
        }
        cells = {'here': self.cell.uuid, 'other': self.other.uuid, None: None}
        expected: dict[str, str | None] = {}
        conflicts = 0
        for theirs, ours in rows:
            uuid = self.add(cell_id=numbers[theirs])
            if ours in cells:
                self.make_mapping(instance_uuid=uuid, cell_uuid=cells[ours])
                expected[uuid] = cells[ours]
            if theirs == 'taken' or (theirs and ours in ('here', 'other') and theirs != ours):
                conflicts += 1
            elif theirs or ours not in cells:
                expected[uuid] = cells[theirs]

        for max_count, batch_size in runs:
            if self.take_over(max_count=max_count, batch_size=batch_size).done:
                break
        last = self.take_over()

        self.assertEqual(expected, self.mapped())
        self.assertTrue(last.done)
        self.assertEqual((conflicts, 1), (last.conflicts, last.cell_conflicts))
        self.assertIsNone(self.stopped())
