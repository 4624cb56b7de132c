# SPDX-License-Identifier: Apache-2.0
"""cell_v2 stats: counting the mappings of a cloud."""

import sys
from typing import Any
from unittest import mock
import warnings

import fixtures

from nova_cellmap.cli import plot
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base

_BEGINNINGS = {'.png': b'\x89PNG', '.svg': b'<?xml', '.pdf': b'%PDF'}


@functional_base.on_both_schemas
class Stats(base.TestCase):
    command = ('cell_v2', 'stats')

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_cell()
        for cell_uuid, project_id, queued in (
            (self.cell.uuid, 'p', False),
            (self.cell.uuid, 'p', True),
            (self.cell.uuid, 'P', False),
            (self.other.uuid, 'p', True),
            (None, 'q', False),
            (None, 'p', False),
        ):
            self.make_mapping(cell_uuid=cell_uuid, project_id=project_id, queued_for_delete=queued)

    def stats(self, *options: str) -> Any:
        return self.assert_succeeds(*self.command, *options, '-f', 'json').json

    def rows(self, *options: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.stats(*options)]

    def test_by_cell_the_largest_first(self) -> None:
        columns = ['name', 'uuid', 'mappings', 'live', 'queued_for_delete', 'projects']
        self.assertEqual(columns, list(self.stats()[0]))
        expected = [
            ('cell1', self.cell.uuid, 3, 2, 1, 2),
            ('no cell', None, 2, 2, 0, 2),
            (None, self.other.uuid, 1, 0, 1, 1),
        ]
        self.assertEqual(expected, self.rows())
        self.assertEqual(expected, self.rows('--by', 'cell'))

    def test_by_project_the_largest_first(self) -> None:
        columns = ['project_id', 'mappings', 'live', 'queued_for_delete', 'cells']
        self.assertEqual(columns, list(self.stats('--by', 'project')[0]))
        expected = [('p', 4, 2, 2, 2), ('P', 1, 1, 0, 1), ('q', 1, 1, 0, 0)]
        self.assertEqual(expected, self.rows('--by', 'project'))

    def test_null_is_not_queued_for_delete(self) -> None:
        self.execute(self.mapping_table.update().values(queued_for_delete=None))
        self.assertEqual([0, 0, 0], [row['queued_for_delete'] for row in self.stats()])
        self.assertEqual([3, 2, 1], [row['live'] for row in self.stats()])

    def test_a_cell_without_mappings_has_a_row(self) -> None:
        self.make_cell(name='empty')
        self.assertEqual(('empty', 0, 0), self.rows()[-1][:1] + self.rows()[-1][2:4])

    def test_an_empty_cloud(self) -> None:
        self.execute(self.mapping_table.delete())
        self.assertEqual([0, 0, 0], [row['mappings'] for row in self.stats()])
        self.assertEqual([], self.stats('--by', 'project'))

    def test_only_the_largest(self) -> None:
        self.assertEqual(['cell1'], [row['name'] for row in self.stats('--limit', '1')])
        rows = self.stats('--by', 'project', '--limit', '2')
        self.assertEqual(['p', 'P'], [row['project_id'] for row in rows])

    def test_every_format(self) -> None:
        for format_ in ('json', 'yaml', 'csv', 'table', 'value'):
            for by in ('cell', 'project'):
                out = self.assert_succeeds(*self.command, '--by', by, '-f', format_).out
                self.assertIn('p' if by == 'project' else 'cell1', out, format_)

    def test_64_where_a_value_is_wrong(self) -> None:
        for number in ('0', '-1', 'x', ''):
            self.assert_fails(64, *self.command, f'--limit={number}')
        self.assertEqual(64, self.call(*self.command, '--by', 'nosuch').status)

    def test_no_cell_has_to_be_up(self) -> None:
        self.make_cell(name='down', database_connection='sqlite:////no/such/file')
        self.assertIn('down', [row['name'] for row in self.stats()])

    def test_a_cell_that_is_called_like_none(self) -> None:
        cell = self.make_cell(name='no cell')
        self.make_mapping(cell_uuid=cell.uuid, project_id='p')
        self.assertEqual(2, [row['name'] for row in self.stats()].count('no cell'))
        self.assert_succeeds(*self.command, '--plot', str(self.folder / 'x.svg'))

    def test_a_picture(self) -> None:
        for suffix, beginning in _BEGINNINGS.items():
            path = self.folder / f'cloud{suffix}'
            outcome = self.assert_succeeds(*self.command, '--plot', str(path), '-f', 'json')
            self.assertEqual(3, len(outcome.json))
            self.assertIn(str(path), outcome.err)
            self.assertTrue(path.read_bytes().startswith(beginning), suffix)

    def test_a_picture_of_an_empty_cloud(self) -> None:
        self.execute(self.mapping_table.delete())
        path = self.folder / 'cloud.png'
        self.assertEqual('', self.assert_succeeds('-q', *self.command, '--plot', str(path)).err)
        self.assertTrue(path.exists())

    def test_64_where_no_picture_can_be_made(self) -> None:
        for name in ('cloud.gif', 'cloud', '', '.png', 'nosuch/cloud.png', 'x' * 300 + '.png'):
            path = f'{self.folder}/{name}' if name else name
            self.assertIn('--plot', self.assert_fails(64, *self.command, '--plot', path))
        self.assertEqual([self.config_file], list(self.folder.iterdir()))

    def test_a_link_is_not_followed(self) -> None:
        victim, path = self.folder / 'victim', self.folder / 'x.svg'
        victim.write_text('precious')
        path.symlink_to(victim)
        self.assert_succeeds(*self.command, '--plot', str(path))
        self.assertEqual('precious', victim.read_text())
        self.assertIn('<svg', path.read_text())

    def test_64_where_matplotlib_is_missing(self) -> None:
        path = self.folder / 'cloud.png'
        with mock.patch.dict(sys.modules, {'matplotlib': None}):
            message = self.assert_fails(64, *self.command, '--plot', str(path))
        self.assertIn("pip install 'nova-cellmap[plot]'", message)
        self.assertEqual(3, len(self.stats()))


class Plot(tests_base.TestCase):
    """What a picture shows, as the text of an SVG."""

    def draw(self, cells: list[plot.CellBar], projects: list[plot.ProjectBar]) -> str:
        from matplotlib import rc_context

        path = self.useFixture(fixtures.TempDir()).join('plot.svg')
        # Text as text, not as the shapes of its letters.
        with rc_context({'svg.fonttype': 'none'}), warnings.catch_warnings():
            warnings.simplefilter('error')
            plot.draw(path, cells, projects)
        with open(path, encoding='utf-8') as file:  # noqa: PTH123
            return file.read()

    def test_cells_projects_and_numbers(self) -> None:
        shown = self.draw(
            [plot.CellBar('east', 1000, 234), plot.CellBar('west', 50, 0)],
            [plot.ProjectBar('project-a', {'east': 700, 'west': 17})],
        )
        for text in ('east', 'west', '1,234', '50', 'project-a', '717', 'live', 'queued for'):
            self.assertIn(f'>{text}', shown)

    def test_many_cells_have_no_more_colours_than_can_be_told_apart(self) -> None:
        names = [f'cell{number}' for number in range(40)]
        shown = self.draw(
            [plot.CellBar(name, 5, 5) for name in names],
            [plot.ProjectBar('p', {name: 100 - number for number, name in enumerate(names)})],
        )
        self.assertIn('other cells', shown)
        for number, name in enumerate(names):
            self.assertEqual(2 if number < 7 else 1, shown.count(f'>{name}<'), name)

    def test_any_name(self) -> None:
        for name in ('$x^{2}$', '$', '_hidden', '\n', '長' * 300, '\\alpha', '<&>', '', ' '):
            self.draw([plot.CellBar(name, 1, 1)], [plot.ProjectBar(name, {name: 1})])

    def test_nothing_at_all(self) -> None:
        self.draw([plot.CellBar('no cell', 0, 0)], [])
