# SPDX-License-Identifier: Apache-2.0
"""Objects and queries by the code of libraries alone, to compare with what is quicker.

All of a process goes that way where NOVA_CELLMAP_TEST_STOCK_PATHS is set, and
``python -m nova_cellmap.tests.stock_paths`` is then a conductor that does.
"""

from collections.abc import Iterator
import contextlib
import os
import sys
from unittest import mock

from nova_cellmap import short_ways
from nova_cellmap.db import engine

# The conductor that tests start.
CONDUCTOR = 'nova_cellmap.cli.conductor'


@contextlib.contextmanager
def only() -> Iterator[None]:
    """Leave everything to the libraries, in all threads."""
    # A query is SQLAlchemy's where somebody listens to what it does.
    with short_ways.off(), mock.patch.object(engine, 'is_watched', lambda _: True):
        yield


_switched = contextlib.ExitStack()

if os.environ.get('NOVA_CELLMAP_TEST_STOCK_PATHS'):
    CONDUCTOR = 'nova_cellmap.tests.stock_paths'
    _switched.enter_context(only())

if __name__ == '__main__':
    from nova_cellmap.cli import conductor

    sys.exit(conductor.main())
