# SPDX-License-Identifier: Apache-2.0
"""The face of the function layer names what its modules have for callers."""

import inspect
import pathlib

from nova_cellmap.db import api
from nova_cellmap.db import bulk
from nova_cellmap.db import cell_mapping
from nova_cellmap.db import counts
from nova_cellmap.db import facts
from nova_cellmap.db import instance_mapping
from nova_cellmap.db import progress
from nova_cellmap.tests import base

_MODULES = (bulk, cell_mapping, counts, facts, instance_mapping, progress)
_NOUNS = ('cell_mapping_', 'instance_mapping_', 'map_progress_', 'import_progress_')


class Face(base.TestCase):
    def test_each_function_of_a_noun_is_named(self) -> None:
        for module in _MODULES:
            named = {
                name: function
                for name, function in inspect.getmembers(module, inspect.isfunction)
                if name.startswith(_NOUNS)
            }
            self.assertNotEqual({}, named)
            for name, function in named.items():
                self.assertIs(function, getattr(api, name, None), name)

    def test_it_is_a_face(self) -> None:
        lines = pathlib.Path(api.__file__).read_text().splitlines()
        self.assertLessEqual(len(lines), 80)
