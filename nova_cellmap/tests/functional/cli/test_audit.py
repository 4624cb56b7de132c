# SPDX-License-Identifier: Apache-2.0
"""cell_v2 audit."""

import csv
import datetime
import io
import json
import pathlib
import signal
import stat
import time
from typing import Any

from prometheus_client import parser
import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests import promtool
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base
from nova_cellmap.upkeep import empty_cells

_PROBLEMS = {
    'missing',
    'orphaned',
    'wrong_cell',
    'no_cell',
    'wrong_owner',
    'stale_queued_for_delete',
    'duplicate',
    'invalid_row',
    'stuck',
}
# What is never repaired, besides the orphaned.
_NEVER = ('duplicate', 'invalid_row', 'stuck')
_LONG_AGO = datetime.datetime(2026, 1, 1)


class _Case(base.TestCase):
    # What a test has just made is to be looked at.
    command = ('cell_v2', 'audit', '--min-age', '0')

    def setUp(self) -> None:
        super().setUp()
        self.cell2, self.nova2 = self.new_cell('cell2')

    def add(self, **values: Any) -> str:
        """An instance of cell1 and a mapping of it, as *values* say or as it should be."""
        uuid = nova_cell.add(self.nova)
        self.make_mapping(**{'instance_uuid': uuid, 'cell_uuid': self.cell.uuid, **values})
        return uuid

    def break_all(self) -> dict[str, str]:
        """One of every problem: which, by instance."""
        problems = {
            nova_cell.add(self.nova): 'missing',
            self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid: 'orphaned',
            self.add(cell_uuid=self.cell2.uuid): 'wrong_cell',
            self.add(cell_uuid=None): 'no_cell',
            self.add(project_id='theirs'): 'wrong_owner',
            self.add(queued_for_delete=True): 'stale_queued_for_delete',
            nova_cell.add(self.nova, project_id='p\x1b[31m'): 'invalid_row',
        }
        deleting = nova_cell.add(self.nova, task_state='deleting')
        mapped = {'cell_uuid': self.cell.uuid, 'queued_for_delete': True}
        self.make_mapping(instance_uuid=deleting, **mapped)
        self.age(deleting)
        problems[deleting] = 'stuck'
        duplicate = self.add()
        nova_cell.add(self.nova2, uuid=duplicate)
        return {**problems, duplicate: 'duplicate'}

    def age(self, uuid: str) -> None:
        """Have the mapping of an instance be an old one."""
        old = self.mapping_table.update().values(created_at=_LONG_AGO, updated_at=None)
        self.execute(old.where(self.mapping_table.c.instance_uuid == uuid))

    def audit(self, status: int, *options: str) -> list[dict[str, Any]]:
        rows = self.assert_ends(status, self.call(*self.command, *options, '-f', 'json')).json
        self.assertIsInstance(rows, list)
        return list(rows)


@functional_base.on_both_schemas
class Audit(_Case):
    def test_0_where_the_mapping_is_true(self) -> None:
        self.add()
        outcome = self.assert_succeeds(*self.command, '-f', 'json')
        self.assertEqual([], outcome.json)
        self.assertIn('The mapping is correct', outcome.err)
        self.assertIn('100%', outcome.err)

    def test_1_and_a_row_for_each_problem(self) -> None:
        problems = self.break_all()
        self.assertEqual(_PROBLEMS, set(problems.values()))
        rows = self.audit(1)
        self.assertEqual(problems, {row['instance_uuid']: row['problem'] for row in rows})
        for row in rows:
            self.assertEqual({'instance_uuid', 'problem', 'cell_uuid', 'detail'}, row.keys())
            self.assertIn(row['cell_uuid'], {self.cell.uuid, self.cell2.uuid})

    def test_repair_and_purge_say_what_was_repaired(self) -> None:
        problems = self.break_all()
        for row in self.audit(1, '--repair'):
            repaired = problems[row['instance_uuid']] not in (
                'orphaned',
                *_NEVER,
            )
            self.assertEqual(repaired, row['detail'].endswith('; repaired'), str(row))
        self.assertEqual(
            {'orphaned', *_NEVER},
            {row['problem'] for row in self.audit(1, '--purge')},
        )
        self.assertEqual(sorted(_NEVER), sorted(row['problem'] for row in self.audit(1)))

    def test_0_where_all_is_repaired(self) -> None:
        self.add(cell_uuid=None)
        [row] = self.audit(0, '--repair')
        self.assertEqual('no_cell', row['problem'])
        self.assertEqual([], self.audit(0))

    def test_2_and_why_where_a_cell_cannot_be_read(self) -> None:
        self.make_cell(
            name='dead', database_connection=f'mysql+pymysql://u:{base.SECRET}@127.0.0.1:1/nova'
        )
        self.make_mapping(cell_uuid=self.cell.uuid)
        outcome = self.assert_ends(2, self.call(*self.command, '--purge', '-f', 'json'))
        self.assertEqual([], outcome.json)
        self.assertIn('not read', outcome.err)
        self.assertIn('(dead) cannot be read', ' '.join(outcome.err.split()))

    def test_3_where_an_empty_cell_would_be_purged(self) -> None:
        self.add(project_id='theirs')
        mapped = {
            self.make_mapping(cell_uuid=self.cell2.uuid).instance_uuid
            for _ in range(empty_cells.FEW + 1)
        }
        before = self.mapped()
        outcome = self.call(*self.command, '--repair', '--purge', '-f', 'json')
        self.assert_ends(3, outcome)
        self.assertEqual('', outcome.out)
        for said in ('cell2', 'Nothing was changed', 'update_cell', 'delete_cell --unasked'):
            self.assertIn(said, outcome.err)
        self.assertEqual(before, self.mapped())
        # Who only looks is told of them, and what is queued for delete may go.
        rows = self.audit(1)
        self.assertLessEqual(mapped, {row['instance_uuid'] for row in rows})
        for uuid in list(mapped)[:2]:
            self.execute(
                self.mapping_table.update()
                .where(self.mapping_table.c.instance_uuid == uuid)
                .values(queued_for_delete=True)
            )
        self.audit(1, '--purge', '--max-changes', str(len(mapped)))
        self.assertEqual(set(), mapped & self.mapped().keys())

    def test_of_one_cell_by_its_name(self) -> None:
        self.break_all()
        missing = nova_cell.add(self.nova2)
        found = {row['instance_uuid'] for row in self.audit(1, '--cell', 'cell2')}
        self.assertIn(missing, found)
        self.assertEqual(3, len(found), 'the missing, the duplicate and the one mapped wrongly')


class OutputSqlite(_Case):
    def test_rows_as_csv(self) -> None:
        problems = self.break_all()
        out = self.assert_ends(1, self.call(*self.command, '-f', 'csv')).out
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertEqual(problems, {row['instance_uuid']: row['problem'] for row in rows})

    def test_the_summary(self) -> None:
        self.break_all()
        path = self.folder / 'summary.json'
        err = self.assert_ends(1, self.call(*self.command, '--repair', '--summary', str(path))).err
        summary = json.loads(path.read_text())
        seconds = summary.pop('seconds')
        self.assertGreater(seconds, 0)
        [first, second] = summary.pop('cells')
        self.assertEqual(
            {
                'status': 1,
                'instances': 9,
                'mappings': 6,
                'problems': 9,
                'left': 4,
                'in_flight': 0,
                'other_cells_not_read': {},
            },
            summary,
        )
        self.assertEqual(dict.fromkeys(sorted(_PROBLEMS), 1), first['problems'])
        self.assertEqual((5, 4, None), (first['repaired'], first['left'], first['error']))
        self.assertEqual(
            ('cell2', 1, {}), (second['cell_name'], second['instances'], second['problems'])
        )
        for word in ('cell1', 'cell2', '4 problems left', '1 duplicate'):
            self.assertIn(word, err)

    def test_quiet_prints_the_rows_alone(self) -> None:
        self.break_all()
        outcome = self.assert_ends(1, self.call('-q', *self.command, '-f', 'value'))
        self.assertEqual('', outcome.err)
        self.assertEqual(9, len(outcome.out.splitlines()))

    def test_64_where_a_number_is_none(self) -> None:
        for option in ('--batch-size', '--sleep'):
            for text in ('-1', 'x', '', '1e', 'nan', 'inf', '٣', '9' * 30):
                self.assert_fails(64, *self.command, f'{option}={text}')

    def test_64_where_a_time_is_none(self) -> None:
        for option in ('--min-age', '--stuck-after', '--max-duration'):
            for text in ('-1', 'x', '', '1e', '1.5h', '1w', '٣', '9' * 9 + 'd', '9' * 5000):
                self.assertIn(option, self.assert_fails(64, *self.command, f'{option}={text}'))

    def test_what_was_changed_a_moment_ago_is_in_flight(self) -> None:
        uuid = self.add(project_id='theirs')
        command = ('cell_v2', 'audit', '--repair', '-f', 'json')
        outcome = self.assert_succeeds(*command)
        self.assertEqual([], outcome.json)
        self.assertIn('1 in flight', outcome.err)
        for given in ('0', '0s'):
            [row] = self.assert_succeeds(*command, '--min-age', given).json
            self.assertEqual((uuid, 'wrong_owner'), (row['instance_uuid'], row['problem']))
            uuid = self.add(project_id='theirs')
        self.age(uuid)
        for given in ('90', '90s', '15m', '1h', '1d'):
            [row] = self.assert_succeeds(*command, '--min-age', given).json
            self.assertEqual(uuid, row['instance_uuid'])
            uuid = self.add(project_id='theirs')
            self.age(uuid)

    def test_3_where_more_would_be_changed_than_may_be(self) -> None:
        nova_cell.fill(self.nova, 101)
        path = self.folder / 'summary.json'
        command = (*self.command, '--repair', '-f', 'json', '--summary', str(path))
        outcome = self.assert_ends(3, self.call(*command))
        self.assertEqual({'missing'}, {row['problem'] for row in outcome.json})
        for said in ('101 missing', '100 are allowed', 'nothing was changed', '--max-changes 101'):
            self.assertIn(said, outcome.err)
        summary = json.loads(path.read_text())
        self.assertEqual((3, 101), (summary['status'], summary['left']))
        self.assertEqual({'number': 101, 'kinds': '101 missing', 'most': 100}, summary['refused'])
        self.assertEqual({}, self.mapped())
        for given in ('0', '100', '100%', '0.5%'):
            self.assert_ends(3, self.call(*command, '--max-changes', given))
        self.assertIn('101 missing', self.assert_ends(3, self.call('-q', *command)).err)
        self.assertEqual({}, self.mapped())
        self.assert_succeeds(*command, '--max-changes', '101')
        self.assertEqual(101, len(self.mapped()))

    def test_64_where_the_number_of_changes_is_none(self) -> None:
        for text in ('', 'x', '-1', '%', '101%', '1.5', '1e2', '5 %', '9' * 30, '٣'):
            self.assertIn(
                '--max-changes', self.assert_fails(64, *self.command, f'--max-changes={text}')
            )

    def test_1_where_the_time_is_over(self) -> None:
        self.configure(DEFAULT={'state_path': str(self.folder)})
        [first, second] = sorted([self.add(), self.add()])
        path = self.folder / 'summary.json'
        options = '--max-duration', '0', '--batch-size', '1', '--summary', str(path)
        for end in (first, second):
            err = self.assert_ends(1, self.call(*self.command, *options)).err
            self.assertIn(f'up to {end}, where the time was over', err)
            self.assertEqual(end, json.loads(path.read_text())['stopped_at'])
        err = self.assert_succeeds(*self.command, *options).err
        self.assertIn(f'no problem left from {second} on', err)

    def test_of_some_instances_or_of_a_project(self) -> None:
        missing, other = nova_cell.add(self.nova), nova_cell.add(self.nova, project_id='theirs')
        [row] = self.audit(1, '--instance', missing.upper())
        self.assertEqual(missing, row['instance_uuid'])
        self.assertEqual(2, len(self.audit(1, '--instance', missing, '--instance', other)))
        [row] = self.audit(1, '--project', 'theirs')
        self.assertEqual(other, row['instance_uuid'])
        self.assertEqual([], self.audit(0, '--project', 'nobody'))

    def test_66_where_nobody_knows_an_instance(self) -> None:
        uuid = self.make_mapping().instance_uuid
        self.audit(0, '--instance', uuid)
        unknown = functional_base.new_uuid()
        outcome = self.assert_ends(66, self.call(*self.command, '--instance', unknown))
        self.assertIn(unknown, outcome.err)

    def test_64_where_an_instance_is_no_uuid(self) -> None:
        self.assert_fails(64, *self.command, '--instance', 'x')

    def test_64_where_the_summary_has_no_place(self) -> None:
        for path in (self.folder / 'no' / 'x', self.folder):
            self.assertIn(
                '--summary', self.assert_fails(64, *self.command, '--summary', str(path))
            )

    def test_the_summary_of_the_run_before_stays_until_there_is_a_new_one(self) -> None:
        path = self.folder / 'summary.json'
        path.write_text('before')
        self.assert_fails(66, *self.command, '--cell', 'nosuch', '--summary', str(path))
        self.assertEqual('before', path.read_text())
        self.assert_succeeds(*self.command, '--summary', str(path))
        self.assertEqual(0, json.loads(path.read_text())['status'])
        self.assertEqual([path], list(self.folder.glob('summary*')))

    def textfile(self, path: pathlib.Path) -> dict[tuple[str, ...], float]:
        """The values, by name and labels without their names."""
        return {
            (sample.name.removeprefix('nova_cellmap_audit_'), *sorted(sample.labels.values())): (
                sample.value
            )
            for family in parser.text_string_to_metric_families(path.read_text())
            for sample in family.samples
        }

    def test_the_text_file(self) -> None:
        self.break_all()
        path = self.folder / 'audit.prom'
        begun = time.time()
        self.assert_ends(1, self.call(*self.command, '--repair', '--textfile', str(path)))
        # Another user reads it.
        self.assertEqual(0o644, stat.S_IMODE(path.stat().st_mode))
        self.assertEqual('', promtool.check_metrics(path.read_bytes()))
        values = self.textfile(path)
        cell = (str(self.cell.name), self.cell.uuid)
        for kind in _PROBLEMS:
            of_cells = [
                (
                    values['problems_found', *sorted((*each, kind))],
                    values['problems_left', *sorted((*each, kind))],
                )
                for each in (cell, (str(self.cell2.name), self.cell2.uuid))
            ]
            found, left = map(sum, zip(*of_cells, strict=True))
            self.assertEqual((1, kind in ('orphaned', *_NEVER)), (found, left), kind)
        self.assertEqual(1, values['cell_up', *sorted(cell)])
        self.assertEqual((1, 1), (values['exit_status',], values['complete',]))
        self.assertLess(begun - 1, values['last_success_timestamp_seconds',])

    def test_the_text_file_keeps_the_last_success(self) -> None:
        path = self.folder / 'audit.prom'
        self.add()
        self.assert_succeeds(*self.command, '--textfile', str(path))
        success = self.textfile(path)['last_success_timestamp_seconds',]
        self.cell2.database_connection = 'mysql+pymysql://u:x@127.0.0.1:1/nova'
        self.cell2.save()
        self.assert_ends(2, self.call(*self.command, '--textfile', str(path)))
        values = self.textfile(path)
        self.assertEqual(success, values['last_success_timestamp_seconds',])
        self.assertLess(success, values['last_run_timestamp_seconds',])
        self.assertEqual(0, values['cell_up', *sorted(('cell2', self.cell2.uuid))])

    def test_64_where_the_text_file_has_no_place_or_no_reader(self) -> None:
        for path, said in (
            (self.folder / 'no' / 'x.prom', 'written'),
            (self.folder / 'x', '.prom'),
        ):
            err = self.assert_fails(64, *self.command, '--textfile', str(path))
            self.assertIn(f'--textfile {path}', err)
            self.assertIn(said, err)

    def test_a_log_has_whole_lines(self) -> None:
        self.make_cell(name='lost', database_connection=f'sqlite:///{self.folder}/{"x" * 99}.db')
        err = self.assert_ends(2, self.call(*self.command)).err
        [line] = [line for line in err.splitlines() if 'cannot be read' in line]
        self.assertIn('there is no file', line)
        self.assertIn('Not all cells could be read; in the others, no problem', err)

    def test_66_where_there_is_no_such_cell(self) -> None:
        self.assertIn('nosuch', self.assert_fails(66, *self.command, '--cell', 'nosuch'))

    def test_what_was_done_is_told_where_the_mapping_database_fails_midway(self) -> None:
        nova_cell.add(self.nova)
        self.add(project_id='theirs')
        self.addCleanup(self.execute, sa.text('DROP TRIGGER refuse'))
        self.execute(
            sa.text(
                f'CREATE TRIGGER refuse BEFORE UPDATE ON {self.mapping_table.name} '
                "BEGIN SELECT RAISE(ABORT, 'no updates today'); END"
            )
        )
        command = (*self.command, '--repair', '--batch-size', '1', '--min-age', '0')
        told = self.assert_fails(69, *command)
        self.assertIn('no updates today', told)
        self.assertIn('Stopped: ', told)
        self.assertIn('found until then', told)

    def test_without_a_cell(self) -> None:
        self.execute(self.cell_table.delete())
        self.assertEqual([], self.audit(0))


@functional_base.on_each_database
class Killed(_Case):
    def test_killed_at_any_moment_the_next_run_finishes(self) -> None:
        nova_cell.fill(self.nova, 300)
        repair = '--repair', '--max-changes', '300'
        command = (*self.command, *repair, '--batch-size', '2', '--sleep', '0.02', '-f', 'csv')
        for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            before = len(self.mapped())
            run = self.start(*command)
            end = time.monotonic() + 60
            while len(self.mapped()) == before and time.monotonic() < end:
                self.assertIsNone(run.poll(), 'it came to its end before')
                time.sleep(0.05)
            run.send_signal(signum)
            outcome = self.wait(run)
            self.assertNotEqual(0, outcome.status)
            self.assertNotIn('Traceback', outcome.err)
        self.audit(0, *repair)
        self.assertEqual(set(cells_base.instances_in(self.nova)), set(self.mapped()))
        for uuid in cells_base.instances_in(self.nova):
            mapping = InstanceMapping.get_by_instance_uuid(self.context, uuid)
            self.assertEqual(self.cell.uuid, mapping.cell_uuid)
