# SPDX-License-Identifier: Apache-2.0
"""Objects and queries without their short ways, where NOVA_CELLMAP_TEST_STOCK_PATHS is set.

``python -m nova_cellmap.tests.stock_paths`` is then a conductor without them.
"""

import contextlib
import os
import sys

# The conductor that tests start.
CONDUCTOR = 'nova_cellmap.cli.conductor'

_switched = contextlib.ExitStack()

if os.environ.get('NOVA_CELLMAP_TEST_STOCK_PATHS'):
    from nova_cellmap import short_ways

    CONDUCTOR = 'nova_cellmap.tests.stock_paths'
    _switched.enter_context(short_ways.off())

if __name__ == '__main__':
    from nova_cellmap.cli import conductor

    sys.exit(conductor.main())
