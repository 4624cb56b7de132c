# SPDX-License-Identifier: Apache-2.0
"""Tests with changes of mappings in files."""

import pathlib
from typing import Any

import fixtures

from nova_cellmap.tests import base
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep.change import Change


class TestCase(base.TestCase):
    """A test with a folder of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'journal'


def make_change(uuid: str, **others: Any) -> Change:
    """A change that maps an instance to a cell."""
    after = {'cell_uuid': 'c', 'project_id': 'p', 'user_id': None, 'queued_for_delete': False}
    told = {'problems': ('missing',), 'before': None, 'after': after, 'why': 'w', **others}
    return Change(instance_uuid=uuid, when=change.now(), **told)
