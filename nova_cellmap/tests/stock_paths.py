# SPDX-License-Identifier: Apache-2.0
"""Objects and queries by the code of libraries alone, to compare with what is quicker.

All of a process goes that way where NOVA_CELLMAP_TEST_STOCK_PATHS is set, and
``python -m nova_cellmap.tests.stock_paths`` is then a conductor that does.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import os
import sys
from typing import Any
from unittest import mock

from nova_cellmap.db import api as db_api
from nova_cellmap.db import engine
from nova_cellmap.objects import base
from nova_cellmap.objects import primitives
from nova_cellmap.objects.instance_mapping import InstanceMapping

# The conductor that tests start.
CONDUCTOR = 'nova_cellmap.cli.conductor'


@contextlib.contextmanager
def only() -> Iterator[None]:
    """Leave everything to the libraries, in all threads."""
    with contextlib.ExitStack() as stack:
        for patch in (
            # A query is SQLAlchemy's where somebody listens to what it does.
            mock.patch.object(engine, 'is_watched', lambda _: True),
            # To primitives and back.
            mock.patch.dict(primitives.layouts, clear=True),
            # From rows: each field is set.
            mock.patch.object(base.CellMapObject, '_loaded', classmethod(_loaded)),
            mock.patch.object(base.CellMapObjectList, '_of', classmethod(_of)),
            mock.patch.object(InstanceMapping, 'from_columns', classmethod(_from_columns)),
        ):
            stack.enter_context(patch)
        yield


def _loaded(cls: Any, context: Any, values: Mapping[str, Any]) -> Any:
    return _unchanged(cls(context, **values))


def _of(cls: Any, context: Any, members: Sequence[Any]) -> Any:
    return _unchanged(cls(context, objects=members))


def _from_columns(cls: Any, context: Any, columns: Sequence[Any], cell: Any) -> Any:
    row = dict(zip(db_api.MAPPING_COLUMNS, columns, strict=True))
    values = {
        **row,
        'created_at': base.as_utc(row['created_at']),
        'updated_at': base.as_utc(row['updated_at']),
        'queued_for_delete': bool(row['queued_for_delete']),
    }
    return cls.from_values(context, {**values, 'cell_mapping': cell})


def _unchanged(obj: Any) -> Any:
    obj.obj_reset_changes()
    return obj


_switched = contextlib.ExitStack()

if os.environ.get('NOVA_CELLMAP_TEST_STOCK_PATHS'):
    CONDUCTOR = 'nova_cellmap.tests.stock_paths'
    _switched.enter_context(only())

if __name__ == '__main__':
    from nova_cellmap.cli import conductor

    sys.exit(conductor.main())
