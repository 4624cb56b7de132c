# SPDX-License-Identifier: Apache-2.0
"""The suites of the objects and of their races once more, with lookups cached."""

import types
from typing import Any

from oslo_config import cfg

import nova_cellmap
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.objects import test_instance_mapping
from nova_cellmap.tests.functional.objects import test_races


class _Cached:
    """Comes before a class of tests on a mapping database."""

    def make_conf(self: Any) -> cfg.ConfigOpts:
        conf: cfg.ConfigOpts = super().make_conf()  # type: ignore[misc]
        fixtures.use_cache(conf)
        return conf

    def execute(self: Any, statement: Any) -> Any:
        result = super().execute(statement)  # type: ignore[misc]
        # The function layer does not know what was changed past it: begin with an empty cache.
        nova_cellmap.configure(self.make_conf())
        return result


def _cached(module: types.ModuleType) -> None:
    """Have the tests of a module run here, too: ``MovesMariadb`` as ``CachedMovesMariadb``."""
    for name, suite in list(vars(module).items()):
        if (
            isinstance(suite, type)
            and issubclass(suite, base.TestCase)
            and not name.startswith('_')
            and not suite.through_conductor
        ):
            members = {'__module__': __name__, '__doc__': suite.__doc__}
            globals()[f'Cached{name}'] = type(f'Cached{name}', (_Cached, suite), members)


_cached(test_instance_mapping)
_cached(test_races)
