# SPDX-License-Identifier: Apache-2.0
"""A picture of the mapping."""

import pathlib
from unittest import mock

import fixtures

from nova_cellmap.cli import failures
from nova_cellmap.cli import plot
from nova_cellmap.tests import base

_CELLS = [plot.CellBar('cell1', 1500, 20), plot.CellBar('\u65e5\u672c \x1b[31m', 0, 0)]
_PROJECTS = [
    plot.ProjectBar(f'project {number}', {f'cell{each}': each + number for each in range(9)})
    for number in range(3)
]


class Plot(base.TestCase):
    def test_every_format_that_is_offered(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for suffix, begin in (('.png', b'\x89PNG'), ('.svg', b'<?xml'), ('.pdf', b'%PDF')):
            self.assertIn(suffix, plot.SUFFIXES)
            path = folder / f'mapping{suffix}'
            plot.check(str(path))
            plot.draw(str(path), _CELLS, _PROJECTS)
            self.assertTrue(path.read_bytes().startswith(begin))
            self.assertEqual(0o600, path.stat().st_mode & 0o777)

    def test_of_nothing(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'x.png'
        plot.draw(str(path), [], [])
        self.assertTrue(path.exists())

    def test_what_cannot_be_drawn_is_known_before_any_work(self) -> None:
        error = self.assertRaises(failures.CommandError, plot.check, 'mapping.gif')
        self.assertIn('.png, .svg, .pdf', str(error))
        with mock.patch.dict('sys.modules', {'matplotlib': None}):
            error = self.assertRaises(failures.CommandError, plot.check, 'mapping.png')
        self.assertIn('nova-cellmap[plot]', str(error))

    def test_a_folder_that_is_not_there(self) -> None:
        self.assertRaises(failures.CommandError, plot.draw, '/no/such/x.png', _CELLS, _PROJECTS)
