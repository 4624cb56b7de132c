# SPDX-License-Identifier: Apache-2.0
"""What is printed: where it goes cannot take it, and where others have a say in it."""

import csv
import io
import json
import os
import pathlib
import shlex
import subprocess

from nova_cellmap import nova_cell
from nova_cellmap import private_files
from nova_cellmap.cli import status
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base

_ODD = '\x1b[2J[/red]\n=x\u202e'


class _Case(base.TestCase):
    def shell(self, redirection: str, *argv: str, program: str = 'manage') -> base.Outcome:
        """Run a program with its streams redirected as a shell does it."""
        options = ['--config-file', str(self.config_file)]
        line = shlex.join(base.process([*options, *argv], program))
        done = subprocess.run(
            ['bash', '-c', f'{line} {redirection}'],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=120,
        )
        return base.Outcome(done.returncode, done.stdout, done.stderr)


class Streams(_Case):
    def test_69_and_one_line_where_nothing_can_be_printed(self) -> None:
        nova_cell.fill(self.nova, 300)
        for argv in (
            ('db', 'version'),
            ('cell_v2', 'list_cells'),
            ('cell_v2', 'list_cells', '-f', 'json'),
            ('cell_v2', 'map_instances', '--cell', 'cell1'),
            ('cell_v2', 'list_instances', '-f', 'csv'),
            ('cell_v2', 'stats'),
            ('--help',),
            ('cell_v2', 'audit', '--help'),
            ('--version',),
        ):
            for redirection in ('>/dev/full', '>&-'):
                outcome = self.assert_ends(69, self.shell(redirection, *argv))
                self.assertEqual(1, outcome.err.count('Standard output'), str(outcome))
                self.assertNotIn('Exception ignored', outcome.err)

    def test_what_was_done_is_told(self) -> None:
        urls = ('--database_connection', 'none:///', '--transport-url', 'none:///')
        err = self.shell('>/dev/full', 'cell_v2', 'create_cell', '--name', 'new', *urls).err
        self.assertIn(CellMapping.get_by_name(self.context, 'new').uuid, err)
        nova_cell.fill(self.nova, 300)
        err = self.shell('>/dev/full', 'cell_v2', 'map_instances', '--cell', 'cell1').err
        self.assertIn(f'created {len(self.mapped())}', err)

    def test_the_summary_of_an_audit_is_written_all_the_same(self) -> None:
        nova_cell.fill(self.nova, 300)
        path = self.folder / 'summary.json'
        argv = ('cell_v2', 'audit', '--repair', '--max-changes', '300', '--summary', str(path))
        for redirection in ('>/dev/full', '>&-'):
            outcome = self.assert_ends(69, self.shell(redirection, *argv))
            self.assertIn('cell1', outcome.err)
            self.assertEqual(0, json.loads(path.read_text())['left'])
            path.unlink()

    def test_an_audit_that_is_cut_off_tells_how_far_it_came(self) -> None:
        nova_cell.fill(self.nova, 3000)
        argv = ('cell_v2', 'audit', '--min-age', '0', '-f', 'value')
        self.assertIn('Stopped: ', self.assert_ends(69, self.shell('>/dev/full', *argv)).err)

    def test_no_message_is_worth_stopping_for(self) -> None:
        nova_cell.fill(self.nova, 10)
        for redirection in ('2>/dev/full', '2>&-', '2> >(exec 0<&-)'):
            argv = ('cell_v2', 'map_instances', '--cell', 'cell1', '-f', 'value', '-c', 'all_done')
            self.assertEqual(
                (0, 'True\n'), self.shell(redirection, '--debug', *argv)[:2], redirection
            )

    def test_an_error_goes_nowhere_else_where_standard_error_is_closed(self) -> None:
        outcome = self.shell('2>&-', 'cell_v2', 'map_instances', '--cell', 'x')
        self.assertEqual((66, ''), outcome[:2])

    def test_a_database_never_becomes_standard_output(self) -> None:
        outcome = self.shell('<&- >&- 2>&-', 'cell_v2', 'list_cells')
        self.assertEqual((69, '', ''), outcome)
        self.assert_succeeds('cell_v2', 'list_cells')

    def test_other_programs_too(self) -> None:
        outcome = self.shell('>/dev/full', 'upgrade', 'check', program='status')
        self.assertIn('Standard output', self.assert_ends(69, outcome).err)


class Logs(_Case):
    def test_64_where_there_is_no_place_for_the_log(self) -> None:
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        for path in ('/nosuch/log', str(self.folder), str(pipe), f'{self.config_file}/log'):
            message = self.assert_fails(64, '--log-file', path, 'cell_v2', 'list_cells')
            self.assertIn(f'--log-file {path}: ', message)

    def test_a_log_that_is_full_stops_nothing_and_is_told_once(self) -> None:
        self.make_cell(name='lost', database_connection='sqlite:////missing.sqlite')
        argv = ('--log-file', '/dev/full', 'cell_v2', 'delete_cell', '--cell', 'lost')
        outcome = self.assert_ends(0, self.shell('', *argv))
        self.assertEqual(1, outcome.err.count('No space left'), outcome.err)

    def test_no_name_forges_a_line_of_the_log_or_moves_the_cursor(self) -> None:
        path = self.folder / 'log'
        self.stored_cell(name=_ODD, database_connection='sqlite:////missing.sqlite')
        argv = ('--log-file', str(path), 'cell_v2', 'delete_cell', '--cell', _ODD)
        for text in (self.assert_succeeds(*argv).err, path.read_text()):
            self.assertIn(r'\x1b[2J[/red]\x0a=x\u202e', text)
            self.assertNotIn('\x1b', text)


class Names(_Case):
    """Names that are not meant well."""

    def setUp(self) -> None:
        super().setUp()
        self.odd = self.stored_cell(name=_ODD, database_connection='sqlite:////missing.sqlite')
        self.formula = self.make_cell(name='=cmd|x')

    def listed(self, format_: str) -> str:
        return self.assert_succeeds('cell_v2', 'list_cells', '-f', format_, '-c', 'name').out

    def test_tables_and_lines_show_what_moves_the_cursor(self) -> None:
        for format_ in ('table', 'value', 'csv'):
            out = self.listed(format_)
            self.assertEqual(set(), set('\x1b\u202e') & set(out))
            self.assertIn('x1b[2J[/red]', out)
        self.assertEqual(3, len(self.listed('value').splitlines()))

    def test_json_is_exact(self) -> None:
        names = [row['name'] for row in json.loads(self.listed('json'))]
        self.assertEqual(['cell1', _ODD, '=cmd|x'], names)

    def test_a_spreadsheet_gets_no_formula(self) -> None:
        rows = [row['name'] for row in csv.DictReader(io.StringIO(self.listed('csv')))]
        self.assertEqual("'=cmd|x", rows[2])

    def test_errors_and_what_is_said(self) -> None:
        for argv in (
            ('cell_v2', 'map_instances', '--cell', '\x1b[2Jx\ny'),
            ('cell_v2', 'list_cells', '-c', '\x1b[2Jx\ny'),
            ('cell_v2', '\x1b[2Jx\ny'),
            ('cell_v2', 'update_cell', '--cell', _ODD, '--disable'),
            ('cell_v2', 'map_instances', '--cell', _ODD),
            ('cell_v2', 'list_cells', '--\x1b[2J'),
        ):
            outcome = self.call(*argv)
            self.assertNotIn('\x1b', outcome.out + outcome.err, str(argv))
            self.assertNotIn('\ny', outcome.err)

    def test_the_summary_of_an_audit(self) -> None:
        path = self.folder / 'summary.json'
        self.formula.destroy()
        outcome = self.assert_ends(2, self.call('cell_v2', 'audit', '--summary', str(path)))
        self.assertIn(r'\x1b[2J[/red]\x0a=x\u202e', outcome.err)
        self.assertNotIn('\x1b', outcome.err)
        self.assertEqual(_ODD, json.loads(path.read_text())['cells'][1]['cell_name'])

    def test_the_upgrade_check(self) -> None:
        outcome = self.call('upgrade', 'check', main=status.main)
        self.assertNotIn('\x1b', outcome.out + outcome.err)

    def test_a_column_to_sort_by_that_is_not_there(self) -> None:
        argv = ('cell_v2', 'list_cells', '--sort-column', 'nosuch')
        self.assertIn('nosuch', self.assert_fails(64, *argv))


class Summary(_Case):
    def test_a_link_is_not_followed(self) -> None:
        victim, path = self.folder / 'victim', self.folder / 'summary.json'
        victim.write_text('precious')
        for name in (path, path.with_name('summary.json.new')):
            name.symlink_to(victim)
        self.assert_succeeds('cell_v2', 'audit', '--summary', str(path))
        self.assertEqual('precious', victim.read_text())
        self.assertEqual(0, json.loads(path.read_text())['status'])
        self.assertEqual(0o600, pathlib.Path(path).stat().st_mode & 0o777)

    def test_the_rows_are_printed_where_it_cannot_be_written(self) -> None:
        nova_cell.fill(self.nova, 10)
        path = self.folder / 'folder' / 'summary.json'
        path.parent.mkdir()
        # A place that is there when the run begins.
        self.patch(private_files, 'check_place', lambda path: pathlib.Path(path).parent.rmdir())
        argv = ('cell_v2', 'audit', '-f', 'csv', '--summary', str(path))
        outcome = self.assert_ends(64, self.call(*argv))
        self.assertEqual(
            1 + len(cells_base.instances_in(self.nova)), len(outcome.out.splitlines())
        )
        self.assertIn(f'--summary {path}', outcome.err)


class Variables(_Case):
    def test_64_where_a_width_is_no_number(self) -> None:
        environment = os.environ | {'CLIFF_MAX_TERM_WIDTH': 'x'}
        argv = ['--config-file', str(self.config_file), 'cell_v2', 'list_cells']
        done = subprocess.run(base.process(argv), capture_output=True, env=environment, text=True)
        self.assertEqual((64, ''), (done.returncode, done.stdout))
        self.assertIn('CLIFF_MAX_TERM_WIDTH', done.stderr)
