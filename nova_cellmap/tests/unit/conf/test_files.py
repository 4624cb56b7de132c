# SPDX-License-Identifier: Apache-2.0
"""What is named and not found, or cannot be read, is an error that says so."""

import os
import pathlib
import subprocess
import sys
from unittest import mock

import fixtures
from oslo_config import cfg

from nova_cellmap import conf
from nova_cellmap.conf import files
from nova_cellmap.tests import base

_SECRET = 'sekret'


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'nova-cellmap.conf'

    def write(self, text: str, encoding: str = 'utf-8') -> None:
        self.path.write_bytes(text.encode(encoding))

    def refused(self, path: pathlib.Path | None = None) -> str:
        """Why a file is not taken."""
        path = path or self.path
        error = self.assertRaises(cfg.Error, conf.new, config_files=[str(path)])
        self.assertIn(str(path), str(error))
        self.assertNotIn(_SECRET, str(error))
        return str(error)


class Reading(_Case):
    def test_a_file_that_is_not_there(self) -> None:
        self.refused(self.folder / 'missing')
        self.write('')
        self.refused(self.path / 'in_a_file')

    def test_a_folder_that_is_not_there_or_is_none(self) -> None:
        self.write('')
        for name in (self.folder / 'missing', self.path):
            error = self.assertRaises(
                cfg.Error, conf.new, config_files=[], config_dirs=[str(name)]
            )
            self.assertIn(f'--config-dir {name}', str(error))

    def test_a_folder_in_place_of_a_file(self) -> None:
        self.assertIn('--config-dir', self.refused(self.folder))

    def test_what_is_no_file_is_not_waited_for(self) -> None:
        fifo = self.folder / 'fifo'
        os.mkfifo(fifo)
        for path in (fifo, pathlib.Path('/dev/zero')):
            self.assertIn('no file', self.refused(path))

    def test_the_null_device_is_an_empty_file(self) -> None:
        conf.new(config_files=[os.devnull])

    def test_a_file_that_is_too_large(self) -> None:
        self.path.touch()
        os.truncate(self.path, 100_000_000)
        self.assertIn('100,000,000', self.refused())

    def test_a_file_that_nobody_may_read(self) -> None:
        denied = PermissionError(13, 'Permission denied')
        self.write('')
        with mock.patch.object(pathlib.Path, 'read_bytes', side_effect=denied):
            self.assertIn('permission denied', self.refused())

    def test_other_encodings_than_utf_8(self) -> None:
        text = '[DEFAULT]\n# à\n[api_database]\n'
        self.write(text, 'latin-1')
        self.assertIn('line 2', self.refused())
        self.write(text, 'utf-16')
        self.assertIn('line 1', self.refused())
        self.write(text, 'utf-8-sig')
        self.assertIn('byte order mark', self.refused())
        self.write(f'{text}connection = sqlite:///a\0b\n')
        self.assertIn('line 4', self.refused())
        self.write(text)
        conf.new(config_files=[str(self.path)])

    def test_any_line_ends(self) -> None:
        for end in ('\n', '\r\n', '\r'):
            # The library's own reader takes each for one.
            self.write(end.join(('# a file', '[api_database]', 'connection = sqlite:///a', '')))
            made = conf.new(config_files=[str(self.path)])
            self.assertEqual('sqlite:///a', made.api_database.connection)
            self.write(end.join(('# a file', '[api_databse]', 'connection = x')))
            self.assertIn('Did you mean [api_database]?', self.refused())

    def test_a_line_that_is_wrong_is_not_quoted(self) -> None:
        for line in (
            f'connection mysql//{_SECRET}',
            f'connection mysql://u:{_SECRET}@h/d',
            f'[api_database {_SECRET}',
            f' = {_SECRET}',
            f'  {_SECRET}',
        ):
            for text in (f'[api_database]\n{line}\n', f'{line}\n'):
                self.write(text)
                self.refused()

    def test_a_dollar_in_a_password_is_not_quoted(self) -> None:
        for option in ('connection', 'slave_connection'):
            self.write(f'[api_database]\n{option} = mysql://u:a${_SECRET}@h/d\n')
            error = self.assertRaises(cfg.Error, conf.new, config_files=[str(self.path)])
            self.assertNotIn(_SECRET, str(error))
            self.assertIn(f'[api_database] {option}', str(error))
            self.assertIn('$$', str(error))
        self.write(f'[api_database]\nconnection = mysql://u:a$${_SECRET}@h/d\n')
        made = conf.new(config_files=[str(self.path)])
        self.assertEqual(f'mysql://u:a${_SECRET}@h/d', made.api_database.connection)

    def test_arguments_name_files_too(self) -> None:
        for args in (['--config-file', '/typo'], ['--config-file=/typo'], ['--config-dir=/typo']):
            error = self.assertRaises(cfg.Error, conf.new, args)
            self.assertIn('/typo', str(error))


class Locales(_Case):
    """A password is the same in each locale, or there is an error."""

    def url_in(self, locale: str) -> str:
        program = (
            'import sys\n'
            'from oslo_config import cfg\n'
            'from nova_cellmap import conf\n'
            'try:\n'
            f'    print(ascii(conf.new(config_files=[{str(self.path)!r}]).database.connection))\n'
            'except cfg.Error as error:\n'
            '    sys.exit(str(error))\n'
        )
        environment = {**os.environ, 'LC_ALL': locale, 'PYTHONUTF8': ''}
        environment.pop('PYTHONIOENCODING', None)
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', program],
            capture_output=True,
            env=environment,
            text=True,
        )
        return done.stdout.strip() or done.stderr

    def test_in_c_and_posix_and_utf_8(self) -> None:
        self.write('[database]\nconnection = mysql://u:à@h/d\n')
        for locale in ('C', 'POSIX', 'C.UTF-8'):
            self.assertEqual(r"'mysql://u:\xe0@h/d'", self.url_in(locale))

    def test_in_latin_1(self) -> None:
        with mock.patch('locale.getpreferredencoding', lambda _: 'ISO-8859-1'):
            self.write('[database]\nconnection = mysql://u:à@h/d\n')
            self.assertIn('PYTHONUTF8', self.refused())
            # A comment is nobody's password.
            self.write('# à\n[database]\nconnection = mysql://u@h/d\n')
            conf.new(config_files=[str(self.path)])


class Origins(_Case):
    def origin(self, *read: str) -> str:
        made = conf.new(config_files=list(read))
        return files.origin(made, 'api_database', 'connection', read)

    def test_a_file(self) -> None:
        self.write('[api_database]\nconnection = sqlite://\n')
        self.assertEqual(f'from {self.path}', self.origin(str(self.path)))

    def test_the_default_with_the_files_that_do_not_set_it(self) -> None:
        self.write('[database]\nconnection = sqlite://\n')
        self.assertIn(str(self.path), self.origin(str(self.path)))
        self.assertIn('no configuration file was read', self.origin())
        self.assertIn('/etc/nova-cellmap', self.origin())

    def test_the_environment(self) -> None:
        name = 'OS_API_DATABASE__CONNECTION'
        self.useFixture(fixtures.EnvironmentVariable(name, 'sqlite://'))
        self.assertIn(name, self.origin())

    def test_the_places_are_those_of_the_library(self) -> None:
        places = [os.path.expanduser(place) for place in files.PLACES]  # noqa: PTH111
        with mock.patch.dict(os.environ):
            for name in ('SNAP', 'SNAP_COMMON'):
                os.environ.pop(name, None)
            looked_in = cfg._get_config_dirs(files.PROJECT)
        self.assertEqual(places, looked_in)
