#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Send a conductor what nobody should, and see what it costs it and others.

    tools/servers.py run --only rabbitmq -- python tools/fuzz_conductor.py --count 100000

Needs what the tests need. It prints how many messages of each kind were sent and answered, the
memory (kB) and threads of the worker before and after, what it logged, and how long an honest
client waited meanwhile. It ends with 1 where something crossed that should not, or a row is wrong.
"""

import argparse
import pathlib
import sys

from nova_cellmap.db import migration
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional.conductor import fuzz
from nova_cellmap.tests.functional.conductor import hostile


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=100_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--log', help='where to keep the log of the conductor')
    parser.add_argument('--kind', action='append', choices=list(hostile.KINDS))
    options = parser.parse_args()
    with fixtures.Database('sqlite') as database:
        migration.db_sync(engine=database.engine())
        quiet = {'conductor': {'cells': 'without_urls', 'cells_writable': False}}
        with fixtures.Conductor(database, quiet) as conductor:
            result = fuzz.fuzz(
                conductor, options.count, options.seed, options.kind or list(hostile.KINDS)
            )
            if options.log:
                pathlib.Path(options.log).write_text(conductor.log_file.read_text())
    for name, value in result.items():
        print(f'{name}: {value}')
    return 1 if any(result[name] for name in fuzz.WRONG) or 'died' in result['after'] else 0


if __name__ == '__main__':
    sys.exit(main())
