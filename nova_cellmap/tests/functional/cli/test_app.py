# SPDX-License-Identifier: Apache-2.0
"""A program: its options, its errors, its streams."""

from importlib import metadata
import os
import subprocess

from nova_cellmap import exception
from nova_cellmap import version
from nova_cellmap.cli import manage
from nova_cellmap.cli import status
from nova_cellmap.tests.functional.cli import base

_TRACEBACK = 'Traceback (most recent call last)'


class Options(base.TestCase):
    def test_a_configuration_that_cannot_be_read(self) -> None:
        broken = self.folder / 'broken.conf'
        broken.write_text('no section\n')
        for path in (self.folder / 'missing.conf', broken):
            outcome = base.call(manage.main, ['--config-file', str(path), 'cell_v2', 'list_cells'])
            self.assertIn(str(path), self.assert_ends(64, outcome).err)

    def test_a_value_in_the_configuration_that_is_wrong(self) -> None:
        self.configure(api_database={'connection': self.database.url, 'max_retries': 'many'})
        self.assertIn('max_retries', self.assert_fails(64, 'cell_v2', 'list_cells'))

    def test_an_empty_url(self) -> None:
        for url in ('', '   ', 'none:///'):
            self.configure(api_database={'connection': url})
            told = self.assert_fails(64, 'cell_v2', 'list_cells')
            self.assertIn('[api_database] connection: the mapping needs a database', told)

    def test_what_reads_makes_no_file_also_where_the_first_connection_is_tried_again(self) -> None:
        # As Nova's file has it.
        for retries in (0, 3, -1):
            path = self.folder / 'missing.sqlite'
            options = {'connection': f'sqlite:///{path}', 'max_retries': retries}
            self.configure(api_database=options)
            self.assertIn('there is no file', self.assert_fails(69, 'cell_v2', 'list_cells'))
            self.assertFalse(path.exists())

    def test_later_configuration_files_win(self) -> None:
        first = self.folder / 'first.conf'
        first.write_text('[api_database]\nconnection = nosuch://\n')
        argv = ['--config-file', str(first), '--config-file', str(self.config_file)]
        self.assert_ends(0, base.call(manage.main, [*argv, 'cell_v2', 'list_cells']))

    def test_a_folder_of_configuration_files(self) -> None:
        argv = ['--config-dir', str(self.folder), 'cell_v2', 'list_cells', '-f', 'json']
        self.assertEqual(
            'cell1', self.assert_ends(0, base.call(manage.main, argv)).json[0]['name']
        )

    def test_a_command_that_does_not_exist(self) -> None:
        self.assertIn('cell_v2 list_cells', self.assert_fails(64, 'cell_v2', 'lst_cells'))
        self.assertIn('--help', self.assert_fails(64, 'nosuch'))

    def test_help_on_what_does_not_exist(self) -> None:
        for argv in (('help', 'nosuch'), ('h', 'nosuch')):
            self.assert_fails(64, *argv)

    def test_no_command(self) -> None:
        outcome = self.assert_ends(64, self.call())
        self.assertIn('cell_v2 list_cells', outcome.out)
        self.assertIn('Give a command', outcome.err)

    def test_help_after_other_options(self) -> None:
        outcome = self.assert_succeeds('cell_v2', 'list_cells', '-f', 'json', '--help')
        self.assertIn('usage: nova-cellmap-manage cell_v2 list_cells', outcome.out)

    def test_an_option_that_does_not_exist(self) -> None:
        for argv in (('--nosuch', 'cell_v2', 'list_cells'), ('cell_v2', 'list_cells', '--nosuch')):
            outcome = self.assert_ends(64, self.call(*argv))
            self.assertEqual('', outcome.out)
            self.assertIn('nosuch', outcome.err)

    def test_options_cannot_be_abbreviated(self) -> None:
        self.assert_ends(64, self.call('cell_v2', 'list_cells', '--form', 'json'))
        self.assert_ends(64, self.call('--config-fil', 'x', 'cell_v2', 'list_cells'))

    def test_the_version(self) -> None:
        for main in (manage.main, status.main):
            outcome = self.assert_ends(0, base.call(main, ['--version']))
            self.assertIn(version.__version__, outcome.out)

    def test_what_is_logged_can_go_to_a_file_too(self) -> None:
        path = self.folder / 'log'
        self.make_cell(name='lost', database_connection='sqlite:////missing.sqlite')
        argv = ('cell_v2', 'delete_cell', '--cell', 'lost')
        self.assert_succeeds('--log-file', str(path), *argv)
        self.assertIn('missing.sqlite', path.read_text())

    def test_the_programs_are_installed(self) -> None:
        installed = metadata.entry_points(group='console_scripts')
        for name, main in (('manage', manage.main), ('status', status.main)):
            self.assertIs(main, installed[f'nova-cellmap-{name}'].load())


class Errors(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        url = 'mysql+pymysql://nova:sekret@127.0.0.1:1/x'
        self.make_cell(name='down', database_connection=url, transport_url='rabbit://a:sekret@b')

    def test_debug_shows_where_and_no_password(self) -> None:
        for argv in (
            ('cell_v2', 'map_instances', '--cell', 'down'),
            ('cell_v2', 'create_cell', '--database_connection', 'nosuch://nova:sekret@db/x'),
            ('cell_v2', 'update_cell', '--cell', 'down', '--transport-url', 'r://a:sekret@b:x'),
            ('cell_v2', 'list_cells', '-c', 'nosuch'),
        ):
            outcome = self.call('--debug', *argv)
            self.assertIn(outcome.status, (1, 64, 69))
            self.assertIn(_TRACEBACK, outcome.err, str(argv))
            self.assertNotIn(base.SECRET, outcome.out + outcome.err)

    def test_debug_and_verbose_show_no_password_where_all_is_well(self) -> None:
        for option in ('--debug', '-vv'):
            outcome = self.call(option, 'cell_v2', 'list_cells')
            self.assertEqual(0, outcome.status)
            self.assertNotIn(base.SECRET, outcome.out + outcome.err)

    def test_a_mapping_database_that_is_down_shows_no_password(self) -> None:
        url = 'mysql+pymysql://nova:sekret@127.0.0.1:1/x'
        self.configure(api_database={'connection': url})
        outcome = self.call('--debug', 'cell_v2', 'list_cells')
        self.assertEqual(69, outcome.status)
        self.assertNotIn(base.SECRET, outcome.out + outcome.err)

    def test_255_for_what_was_not_foreseen(self) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise ZeroDivisionError(base.SECRET)

        self.patch(exception.CellMappingNotFound, '__init__', fail)
        outcome = self.call('cell_v2', 'map_instances', '--cell', 'nosuch')
        self.assertEqual(255, outcome.status)
        self.assertIn('ZeroDivisionError', outcome.err)
        self.assertNotIn(_TRACEBACK, outcome.err)
        self.assertNotIn(base.SECRET, outcome.err)


class Processes(base.TestCase):
    """The programs as users start them."""

    def outcome(self, *argv: str) -> base.Outcome:
        return self.wait(self.start(*argv))

    def test_success(self) -> None:
        outcome = self.assert_ends(0, self.outcome('cell_v2', 'list_cells', '-f', 'json'))
        self.assertEqual([self.cell.uuid], [cell['uuid'] for cell in outcome.json])
        self.assertEqual('', outcome.err)

    def test_an_error_is_one_line_on_standard_error(self) -> None:
        outcome = self.assert_ends(66, self.outcome('cell_v2', 'map_instances', '--cell', 'x'))
        self.assertEqual('', outcome.out)
        [line] = outcome.err.splitlines()
        self.assertIn('no cell x', line)

    def test_debug_shows_where(self) -> None:
        argv = ('--debug', 'cell_v2', 'map_instances', '--cell', 'x')
        self.assertIn(_TRACEBACK, self.outcome(*argv).err)

    def test_a_reader_that_does_not_read_to_the_end(self) -> None:
        process = self.start('cell_v2', 'list_instances')
        assert process.stdout and process.stderr
        process.stdout.close()
        err = process.stderr.read()
        self.assertEqual((141, ''), (process.wait(), err))

    def test_names_that_the_terminal_cannot_show(self) -> None:
        self.make_cell(name='één ☁')
        done = subprocess.run(
            base.process(['--config-file', str(self.config_file), 'cell_v2', 'list_cells']),
            capture_output=True,
            env=os.environ | {'PYTHONIOENCODING': 'ascii'},
            text=True,
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertIn(self.cell.uuid, done.stdout)
