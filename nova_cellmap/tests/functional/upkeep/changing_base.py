# SPDX-License-Identifier: Apache-2.0
"""Tests that change mappings with a journal."""

import pathlib
from typing import Any

import fixtures

from nova_cellmap.db import api as db_api
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.upkeep import base
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep import journal as journals
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change_files import ChangeFiles
from nova_cellmap.upkeep.change_files import Entry
from nova_cellmap.upkeep.journal import Journal


class Killed(BaseException):
    """A process ends here: nothing of it catches it."""


class TestCase(base.TestCase):
    """A test with a journal, and a second cell."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'journal'
        self.journal = Journal(self.path)
        self.other, self.other_nova = self.new_cell('other')

    def entries(self) -> list[Entry]:
        """What is in the journal."""
        self.path.touch()
        with ChangeFiles(journals.files(self.path), may_be_torn=True) as files:
            return list(files.entries())

    def values(self, **others: Any) -> dict[str, Any]:
        """What a mapping to cell1 says."""
        values = {'project_id': 'p', 'user_id': 'u', 'queued_for_delete': False}
        return {'cell_uuid': self.cell.uuid, **values, **others}

    def map(self, **values: Any) -> str:
        """The uuid of an instance that is mapped."""
        uuid = functional_base.new_uuid()
        row = {'instance_uuid': uuid, **self.values(**values)}
        db_api.instance_mapping_create(self.context, row)
        return uuid

    def now(self) -> dict[str, dict[str, Any]]:
        """What each mapping says."""
        rows = db_api.instance_mapping_get_all(self.context)
        return {row['instance_uuid']: change.values_of(row) for row in rows}


def make_change(uuid: str, before: Any, after: Any) -> Change:
    return Change(uuid, ('wrong_cell',), before, after, change.now(), 'a test')
