# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-conductor where it cannot begin."""

import os

from nova_cellmap.cli import conductor
from nova_cellmap.tests.functional.cli import base


class Conductor(base.CommandTestCase):
    def fails(self, *argv: str) -> str:
        outcome = self.assert_ends(64, base.call(conductor.main, list(argv)))
        self.assertEqual('', outcome.out)
        return outcome.err

    def test_64_where_the_configuration_cannot_be_read(self) -> None:
        latin_1 = self.folder / 'latin-1.conf'
        latin_1.write_bytes(b'[DEFAULT]\n# \xe0\n')
        self.configure(api_databse={'connection': 'sqlite://'})
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        for path in (latin_1, self.config_file, pipe, self.folder, self.folder / 'missing'):
            self.assertIn(str(path), self.fails('--config-file', str(path)))
        self.assertIn('/typo', self.fails('--config-dir', '/typo'))

    def test_64_where_there_is_no_place_for_the_log(self) -> None:
        self.configure(DEFAULT={'transport_url': 'fake://'})
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        for path in ('/nosuch/log', str(self.folder), str(pipe)):
            message = self.fails('--config-file', str(self.config_file), '--log-file', path)
            self.assertIn(f'--log-file {path}: ', message)

    def test_64_where_an_option_does_not_exist(self) -> None:
        self.assertIn('nosuch', self.fails('--nosuch'))

    def test_64_where_a_url_is_wrong(self) -> None:
        self.configure(api_database={'connection': 'sqlite://'})
        self.assertIn('transport_url', self.fails('--config-file', str(self.config_file)))
        self.configure(
            DEFAULT={'transport_url': 'fake://'},
            api_database={'connection': f'nosuch://u:{base.SECRET}@h/d'},
        )
        message = self.fails('--config-file', str(self.config_file))
        self.assertIn('[api_database] connection', message)

    def test_its_help(self) -> None:
        self.assertIn('--config-dir', base.call(conductor.main, ['--help']).out)
