# SPDX-License-Identifier: Apache-2.0
"""The programs in processes that begin at once: a server of them has imported everything."""

import multiprocessing
from multiprocessing import context
import os
import pathlib
import sys

from nova_cellmap.cli import manage

# They share nothing with this one.
_processes = multiprocessing.get_context('forkserver')
_processes.set_forkserver_preload(
    [
        'nova_cellmap.upkeep.applying',
        'nova_cellmap.upkeep.audit',
        'nova_cellmap.upkeep.mapping',
        'nova_cellmap.upkeep.nova_import',
        'nova_cellmap.upkeep.registration',
        'nova_cellmap.upkeep.reverting',
        'nova_cellmap.cli.audit',
        'nova_cellmap.cli.changes',
        'nova_cellmap.cli.instance',
        'nova_cellmap.cli.nova_import',
        'psycopg2',
        'pymysql',
        __name__,
    ]
)


def start(argv: list[str], output: pathlib.Path) -> context.ForkServerProcess:
    """Start nova-cellmap-manage; what it prints is in a file."""
    process = _processes.Process(target=_manage, args=(argv, output))
    process.start()
    return process


def _manage(argv: list[str], output: pathlib.Path) -> None:
    with output.open('w') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.exit(manage.main(argv))
