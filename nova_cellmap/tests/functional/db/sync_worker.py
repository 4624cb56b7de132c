# SPDX-License-Identifier: Apache-2.0
"""A db sync in a process of its own, for tests of its lock.

    python -m nova_cellmap.tests.functional.db.sync_worker URL [PAUSE [SECONDS [CLOCK [MACHINE]]]]

It says ``pausing`` on its output and rests for SECONDS where PAUSE says: ``between`` the
transactions before script 9, ``within`` its transaction, or nowhere (``-``). Its clocks are CLOCK
seconds wrong, and it says to be of another MACHINE if one is named.
"""

import logging
import sys
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap.db import lease
from nova_cellmap.db import migration
from nova_cellmap.db import process

# Of these tests, not of the world.
BEAT_SECONDS = 0.2
SILENCE_SECONDS = 3.0


def main(
    url: str, pause: str = '-', seconds: str = '0', clock: str = '0', machine: str = ''
) -> int:
    lease.BEAT_SECONDS, lease.SILENCE_SECONDS = BEAT_SECONDS, SILENCE_SECONDS
    logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stdout)
    if machine:
        process.identity = lambda: f'{machine}/1/1'
    _put_clocks_wrong(float(clock))
    made = conf.new(args=[], config_files=[])
    made.set_override('connection', url, group='api_database')
    nova_cellmap.configure(made)
    _pause(pause, float(seconds))
    try:
        migration.db_sync()
    except exception.CellMapError as error:
        print(error)
        return 1
    return 0


def _put_clocks_wrong(seconds: float) -> None:
    for name in ('time', 'monotonic'):
        right = getattr(time, name)
        setattr(time, name, lambda right=right: right() + seconds)


def _pause(where: str, seconds: float) -> None:
    def rest() -> None:
        print('pausing', flush=True)
        time.sleep(seconds)

    if where == 'between':
        run = migration._run_next_script

        def run_late(schema: Any) -> None:
            if schema.version == 8:
                rest()
            run(schema)

        migration._run_next_script = run_late
    elif where == 'within':

        @event.listens_for(sa.Engine, 'after_cursor_execute')
        def executed(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
            if statement.startswith('CREATE INDEX instance_mapping_project_id_idx'):
                rest()


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
