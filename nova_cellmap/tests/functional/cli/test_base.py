# SPDX-License-Identifier: Apache-2.0
"""What all commands share: which database they work on."""

import os

import fixtures

from nova_cellmap.cli import manage
from nova_cellmap.cli import status
from nova_cellmap.tests.functional.cli import base


class Databases(base.CommandTestCase):
    """No command works on a database that nobody meant."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(os.chdir, os.getcwd())  # noqa: PTH109
        os.chdir(self.folder)
        self.useFixture(fixtures.EnvironmentVariable('HOME', str(self.folder)))

    def test_64_and_no_file_where_what_is_named_is_not_there_or_misspelt(self) -> None:
        for name, text in (
            ('group.conf', '[api_databse]\nconnection = sqlite:///x\n'),
            ('option.conf', '[api_database]\nconection = sqlite:///x\n'),
            ('latin-1.conf', '[DEFAULT]\n# \xe0\n'),
        ):
            (self.folder / name).write_text(text, encoding='latin-1')
        files = sorted(self.folder.iterdir())
        for options in (
            ('--config-dir', '/typo'),
            ('--config-file', '/typo'),
            ('--config-file', str(self.folder)),
            *(('--config-file', str(path)) for path in files),
        ):
            for main, words in _JUDGING:
                outcome = self.assert_ends(64, base.call(main, [*options, *words]))
                self.assertEqual('', outcome.out)
                self.assertIn(options[1], outcome.err)
        self.assertEqual(files, sorted(self.folder.iterdir()))

    def test_who_makes_or_judges_a_database_says_which(self) -> None:
        url = f'sqlite:///{self.folder}/x.sqlite?password=sekret'
        self.configure(api_database={'connection': f'sqlite:///{self.folder}/x.sqlite'})
        for main, words in _JUDGING:
            err = self.call(*words, main=main).err
            self.assertIn(f'{self.folder}/x.sqlite (from {self.config_file})', err)
            self.assertNotIn('/x.sqlite (', self.call('-q', *words, main=main).err)
        self.configure(api_database={'connection': url})
        self.assertNotIn(base.SECRET, self.call('db', 'version').err)

    def test_a_relative_path_is_told_with_the_folder(self) -> None:
        for path, is_relative in (
            ('x.sqlite', True),
            ('file:x.sqlite?uri=true', True),
            (f'{self.folder}/x.sqlite', False),
            (f'file:{self.folder}/x.sqlite?uri=true', False),
        ):
            self.configure(api_database={'connection': f'sqlite:///{path}'})
            err = self.call('db', 'version').err
            self.assertEqual(is_relative, f'{path} in {self.folder}' in err, err)

    def test_and_that_no_configuration_was_read(self) -> None:
        for main, words in _JUDGING:
            err = base.call(main, list(words)).err
            self.assertIn(f'nova_cellmap.sqlite in {self.folder} (the default', err)
            self.assertIn('no configuration file was read', err)
        # A command that only reads says so too where nobody has chosen the database.
        err = base.call(manage.main, ['cell_v2', 'list_cells']).err
        self.assertIn('no configuration file was read', err)


_JUDGING = (
    (manage.main, ('db', 'sync')),
    (manage.main, ('db', 'version')),
    (manage.main, ('cell_v2', 'audit')),
    (manage.main, ('cell_v2', 'import_nova', '--connection', 'sqlite:////nosuch')),
    (status.main, ('upgrade', 'check')),
)
