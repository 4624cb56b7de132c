# SPDX-License-Identifier: Apache-2.0
"""Resume points in files."""

import pathlib
import stat

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import resume_files
from nova_cellmap.tests.functional import base


class ResumePoints(base.TestCase):
    schema = 'nova'

    def test_only_we_can_read_them(self) -> None:
        cell = self.make_cell().uuid
        api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7, unmappable=2)
        api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=9, unmappable=1)
        self.assertEqual(
            {'last_instance_id': 9, 'conflicts': 3}, api.map_progress_get(self.context, cell)
        )
        folder = pathlib.Path(self.conf.state_path, resume_files.FOLDER)
        [file] = folder.iterdir()
        self.assertEqual(0o700, stat.S_IMODE(folder.stat().st_mode))
        self.assertEqual(0o600, stat.S_IMODE(file.stat().st_mode))
        api.map_progress_clear(self.context, cell)
        self.assertEqual([], list(folder.iterdir()))

    def test_what_is_rolled_back_is_not_noted(self) -> None:
        cell = self.make_cell().uuid
        try:
            with api.writer(self.context):
                api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7)
                raise ZeroDivisionError
        except ZeroDivisionError:
            self.assertIsNone(api.map_progress_get(self.context, cell))
        with api.writer(self.context):
            api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7)
            self.assertIsNone(api.map_progress_get(self.context, cell))
        self.assertIsNotNone(api.map_progress_get(self.context, cell))

    def test_nova_manage_gives_the_cell_another_database(self) -> None:
        cell = self.make_cell().uuid
        for url in ('sqlite:///other', '{scheme}://{username}@{hostname}/other', None):
            api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7)
            self.assertIsNotNone(api.map_progress_get(self.context, cell))
            self.execute(self.cell_table.update().values(database_connection=url))
            self.assertIsNone(api.map_progress_get(self.context, cell))

    def test_of_no_cell(self) -> None:
        self.assertRaises(
            exception.CellMappingNotFound,
            api.instance_mapping_map_batch,
            self.context,
            base.new_uuid(),
            [],
            last_instance_id=7,
        )

    def test_what_cannot_be_read_is_passed_over(self) -> None:
        cell = self.make_cell().uuid
        api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7)
        [file] = pathlib.Path(self.conf.state_path, resume_files.FOLDER).iterdir()
        for text in ('', '[]', '{"a": "b"}', '\xff'):
            file.write_text(text)
            self.assertIsNone(api.map_progress_get(self.context, cell))
