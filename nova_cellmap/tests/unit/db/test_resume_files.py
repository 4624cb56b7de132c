# SPDX-License-Identifier: Apache-2.0
"""Resume points in files."""

import pathlib

import fixtures

from nova_cellmap import conf
from nova_cellmap import runtime
from nova_cellmap.db import resume_files
from nova_cellmap.tests import base


class ResumeFiles(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.points = self.of('sqlite:////tmp/mapping')

    def of(self, connection: str) -> resume_files.ResumeFiles:
        made = conf.new(args=[], config_files=[])
        made.set_override('state_path', str(self.folder))
        made.set_override('connection', connection, group='api_database')
        return runtime.Runtime(made).part(resume_files.ResumeFiles)

    def test_what_was_noted_is_found_and_conflicts_are_added_up(self) -> None:
        self.assertIsNone(self.points.get('cell', 'a'))
        self.points.note('cell', 'a', {'last_id': 5}, 2)
        self.points.note('cell', 'a', {'last_id': 9}, 1)
        self.assertEqual({'last_id': 9, 'conflicts': 3}, self.points.get('cell', 'a'))
        self.assertIsNone(self.points.get('cell', 'b'))
        self.assertIsNone(self.points.get('other', 'a'))

    def test_another_mapping_database_has_others(self) -> None:
        self.points.note('cell', 'a', {'last_id': 5}, 0)
        self.assertIsNone(self.of('sqlite:////tmp/another').get('cell', 'a'))
        found = self.of('sqlite:////tmp/mapping').get('cell', 'a')
        self.assertEqual({'last_id': 5, 'conflicts': 0}, found)

    def test_they_are_for_nobody_else_to_read(self) -> None:
        self.points.note('cell', 'a', {'last_id': 5}, 0)
        folder = self.folder / resume_files.FOLDER
        [path] = folder.iterdir()
        self.assertEqual(
            (0o700, 0o600), (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777)
        )

    def test_forgetting(self) -> None:
        self.points.note('cell', 'a', {'last_id': 5}, 0)
        self.points.clear('cell', 'a')
        self.points.clear('cell', 'a')
        self.assertIsNone(self.points.get('cell', 'a'))

    def test_a_file_that_says_nothing_is_passed_over_and_told_of(self) -> None:
        log = self.useFixture(fixtures.FakeLogger())
        self.points.note('cell', 'a', {'last_id': 5}, 0)
        [path] = (self.folder / resume_files.FOLDER).iterdir()
        for text in ('', '[]', '{"last_id": "x"}', '\0'):
            path.write_text(text)
            self.assertIsNone(self.points.get('cell', 'a'))
        self.assertIn('passed over', log.output)
