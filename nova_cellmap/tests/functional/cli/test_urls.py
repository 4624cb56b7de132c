# SPDX-License-Identifier: Apache-2.0
"""URLs from files, standard input and the environment: none is on a command line."""

import argparse
import os
import subprocess
import sys
from unittest import mock

import fixtures

from nova_cellmap.cli import manage
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base

_DATABASE = 'mysql+pymysql://nova:sekret@db:3306/nova_cell2'
_QUEUE = 'rabbit://nova:sekret@mq:5672/cell2'
_CREATE = ('cell_v2', 'create_cell', '--name', 'new')


class _Case(base.TestCase):
    def file(self, text: str, name: str = 'url') -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def created(self) -> tuple[str, str]:
        cell = CellMapping.get_by_name(self.context, 'new')
        cell.destroy()
        return cell.database_connection, cell.transport_url

    def piped(self, text: str, *argv: str) -> base.Outcome:
        """Run a program that has *text* on its standard input."""
        done = subprocess.run(
            base.process(['--config-file', str(self.config_file), *argv]),
            capture_output=True,
            input=text,
            text=True,
            timeout=120,
        )
        return base.Outcome(done.returncode, done.stdout, done.stderr)


class Files(_Case):
    def test_each_command_that_takes_a_url_takes_a_file_and_a_variable(self) -> None:
        found = 0
        program = manage.program()
        for words in manage.COMMANDS:
            factory, name, _ = program.command_manager.find_command(words.split())
            parser: argparse.ArgumentParser = factory(program, None).get_parser(name)
            names = {option for action in parser._actions for option in action.option_strings}
            for action in parser._actions:
                if action.metavar == 'URL':
                    found += 1
                    for option in action.option_strings:
                        self.assertLessEqual({f'{option}-file', f'{option}-env'}, names, words)
        self.assertEqual(8, found)

    def test_create_cell(self) -> None:
        for ending in ('', '\n', '\r\n', ' \n\n'):
            urls = (
                *('--database_connection-file', self.file(f'{_DATABASE}{ending}')),
                *('--transport_url-file', self.file(f'{_QUEUE}{ending}', 'queue')),
            )
            self.assert_succeeds(*_CREATE, *urls)
            self.assertEqual((_DATABASE, _QUEUE), self.created())

    def test_update_cell_and_map_cell0(self) -> None:
        options = ('--database-connection-file', self.file(_DATABASE))
        self.assert_succeeds('cell_v2', 'update_cell', '--cell', 'cell1', *options)
        cell = CellMapping.get_by_name(self.context, 'cell1')
        self.assertEqual(_DATABASE, cell.database_connection)
        options = ('--database_connection-file', self.file(f'{_DATABASE}_0'))
        self.assert_succeeds('cell_v2', 'map_cell0', *options)
        cell = CellMapping.get_by_uuid(self.context, CellMapping.CELL0_UUID)
        self.assertEqual(f'{_DATABASE}_0', cell.database_connection)

    def test_import_nova(self) -> None:
        url = cells_base.url_of(self.new_nova_api())
        self.assert_succeeds('cell_v2', 'import_nova', '--connection-file', self.file(url))
        with fixtures.EnvironmentVariable('NOVA_URL', url):
            self.assert_succeeds('cell_v2', 'import_nova', '--connection-env', 'NOVA_URL')
        self.assert_ends(0, self.piped(url, 'cell_v2', 'import_nova', '--connection-file', '-'))

    def test_the_environment(self) -> None:
        with (
            fixtures.EnvironmentVariable('DB', _DATABASE),
            fixtures.EnvironmentVariable('MQ', f'{_QUEUE}\n'),
        ):
            urls = ('--database_connection-env', 'DB', '--transport-url-env', 'MQ')
            self.assert_succeeds(*_CREATE, *urls)
        self.assertEqual((_DATABASE, _QUEUE), self.created())

    def test_standard_input_and_a_pipe(self) -> None:
        urls = ('--database_connection-file', '-', '--transport-url-file', self.file(_QUEUE))
        self.assert_ends(0, self.piped(f'{_DATABASE}\n', *_CREATE, *urls))
        self.assertEqual((_DATABASE, _QUEUE), self.created())
        command = ' '.join(base.process(['--config-file', str(self.config_file), *_CREATE]))
        script = (
            f'{command} --database_connection-file <(sleep 0.2; echo {_DATABASE})'
            f' --transport-url-file <(echo {_QUEUE})'
        )
        subprocess.run(['bash', '-c', script], check=True, capture_output=True, timeout=120)
        self.assertEqual((_DATABASE, _QUEUE), self.created())


class Errors(_Case):
    def fails(self, status: int, *urls: str) -> str:
        message = self.assert_fails(status, *_CREATE, '--transport-url', 'none:///', *urls)
        self.assertNotIn(_DATABASE, message)
        return message

    def test_66_where_there_is_no_such_file_or_variable(self) -> None:
        for urls in (
            ('--database_connection-file', str(self.folder / 'nosuch')),
            ('--database_connection-env', 'NOSUCH_VARIABLE'),
        ):
            self.assertIn(' '.join(urls), self.fails(66, *urls))

    def test_1_where_it_is_empty(self) -> None:
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        for urls in (
            ('--database_connection', ''),
            ('--database_connection', ' '),
            ('--database_connection-file', self.file('\n')),
            ('--database_connection-file', os.devnull),
            ('--database_connection-file', str(pipe)),
        ):
            self.assertIn('empty', self.fails(1, *urls))
        with mock.patch.object(sys, 'stdin', None):
            self.fails(1, '--database_connection-file', '-')

    def test_64_where_it_cannot_be_one(self) -> None:
        latin_1 = self.folder / 'latin-1'
        latin_1.write_bytes(b'mysql://u:\xe0@h/d')
        large = self.folder / 'large'
        large.touch()
        os.truncate(large, 10_000_000_000)
        for file in (
            self.file(f'{_DATABASE}\n{_QUEUE}\n'),
            str(latin_1),
            str(large),
            '/dev/zero',
            str(self.folder),
            'a\0b',
        ):
            self.assertIn('--database_connection-file', self._named(file))

    def _named(self, file: str) -> str:
        return self.fails(64, '--database_connection-file', file)

    def test_64_where_it_is_given_twice(self) -> None:
        outcome = self.call(*_CREATE, '--transport-url', _QUEUE, '--transport-url-env', 'X')
        self.assert_ends(64, outcome)
        urls = ('--database_connection-file', '-', '--transport-url-file', '-')
        self.assertIn('Standard input', self.assert_fails(64, *_CREATE, *urls))
