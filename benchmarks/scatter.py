# SPDX-License-Identifier: Apache-2.0
"""Calls to many cells of which some are dead, and what many targets leave behind.

Seven of ten cells are databases on MariaDB. Two hang: a port that takes connections and never
answers; one refuses. It is measured when the answers of the seven are there, beside the time
that the seven take alone, and how long a call takes once the dead cells are skipped. Then
cells are targeted ten thousand times, and connections and memory are counted.
"""

import argparse
from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import gc
import logging
import os
from pathlib import Path
import socket
import time
from typing import Any
import uuid

from oslo_config import cfg
import sqlalchemy as sa

from benchmarks import common
import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import nova_cell
from nova_cellmap.cells import listing
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.objects import CellMapping

# Times that which the seven take alone.
GOAL = 1.2
_ALIVE, _HANGING = 7, 2
_ALONE, _FIRST, _WHOLE, _SKIPPING = (
    'the seven alone',
    'the seven beside two that hang and one that refuses',
    'the whole of that call',
    'a later call, which skips the dead',
)
# How much more memory is still flat: the allocator's own.
_FLAT = 1.03
_PARTS = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rounds', type=int, default=30, metavar='N', help='%(default)s')
    parser.add_argument(
        '--instances', type=int, default=2000, metavar='N', help='in each cell; %(default)s'
    )
    parser.add_argument(
        '--timeout', type=float, default=1, metavar='SECONDS', help='of each call; %(default)s'
    )
    parser.add_argument('--targets', type=int, default=10_000, metavar='N', help='%(default)s')
    parser.add_argument(
        '--cells', type=int, default=50, metavar='N', help='that are targeted; %(default)s'
    )


def servers(options: argparse.Namespace) -> list[str]:
    return ['mariadb']


def run(options: argparse.Namespace) -> dict[str, Any]:
    # The dead cells would fill the screen.
    logging.getLogger('nova_cellmap').setLevel(logging.CRITICAL)
    settings = conf.new(args=[], config_files=[])
    # They are called in each round all the same; their threads end soon after it.
    settings.set_override('read_timeout', 2, group='cells')
    settings.set_override('state_path', os.devnull)
    nova_cellmap.configure(settings)
    server = sa.make_url(os.environ[common.SERVER_URLS['mariadb']])
    with databases(server, max(options.cells, _ALIVE), options.instances) as cells:
        calls = measure_calls(options, settings, server, cells[:_ALIVE])
        kept = measure_targets(options, settings, server, cells[: options.cells])
        few = measure_targets(options, settings, server, cells[: options.cells], kept_open=10)
    broken = [*print_calls(calls, options), *print_targets(kept), *print_targets(few)]
    return {
        'benchmark': 'scatter',
        'goal': GOAL,
        'versions': dict(common.our_environment().versions),
        'calls': {name: common.as_values(samples) for name, samples in calls.items()},
        'targets': [dataclasses.asdict(each) for each in (kept, few)],
        'broken': broken,
    }


# Cells.


@contextlib.contextmanager
def databases(server: sa.URL, count: int, instances: int) -> Iterator[list[CellMapping]]:
    """Cells with databases on the server."""
    names = [f'bench_{uuid.uuid4().hex[:12]}' for _ in range(count)]
    engine = sa.create_engine(server, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
    try:
        for number, name in enumerate(names):
            with engine.connect() as connection:
                connection.exec_driver_sql(f'CREATE DATABASE {name}')
            nova = sa.create_engine(server.set(database=name), poolclass=sa.NullPool)
            nova_cell.create(nova)
            nova_cell.fill(nova, instances if number < _ALIVE else 10, seed=number)
        yield [
            cell(server.set(database=name).render_as_string(hide_password=False)) for name in names
        ]
    finally:
        with engine.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f'DROP DATABASE IF EXISTS {name}')


@contextlib.contextmanager
def dead_cells(server: sa.URL) -> Iterator[list[CellMapping]]:
    """Cells that hang, and one that refuses; but for that, as those on the server."""
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_server(('127.0.0.1', 0), backlog=1000))
            for _ in range(_HANGING)
        ]
        with socket.create_server(('127.0.0.1', 0)) as closed:
            ports = [each.getsockname()[1] for each in (*silent, closed)]
        urls = [server.set(host='127.0.0.1', port=port, database='nova') for port in ports]
        yield [cell(url.render_as_string(hide_password=False)) for url in urls]


def cell(url: str) -> CellMapping:
    return CellMapping(
        get_admin_context(),
        uuid=str(uuid.uuid4()),
        database_connection=url,
        transport_url='none:///',
        disabled=False,
    )


# Calls.


def measure_calls(
    options: argparse.Namespace,
    settings: cfg.ConfigOpts,
    server: sa.URL,
    alive: list[CellMapping],
) -> dict[str, list[common.Sample]]:
    samples: dict[str, list[common.Sample]] = {
        name: [] for name in (_ALONE, _FIRST, _WHOLE, _SKIPPING)
    }
    with dead_cells(server) as dead:
        # Connects, and warms up.
        for _ in range(3):
            _call(alive, options.timeout)
        for number in range(1, options.rounds + 1):
            common.say(f'round {number} of {options.rounds}')
            settings.set_override('failures_before_skip', 0, group='cells')
            samples[_ALONE].append(_call(alive, options.timeout)[0])
            # The dead ones first: they are begun before the others.
            first, whole = _call([*dead, *alive], options.timeout)
            samples[_FIRST].append(first)
            samples[_WHOLE].append(whole)
            settings.set_override('failures_before_skip', 1, group='cells')
            _call(dead, 0.05)
            samples[_SKIPPING].append(_call([*dead, *alive], options.timeout)[1])
            scatter.forget_troubles([each.uuid for each in dead])
    return samples


def _call(cells: Sequence[CellMapping], timeout: float) -> tuple[common.Sample, common.Sample]:
    """How long it takes until all answers are there, and until the call is over."""
    context = get_admin_context()
    began = answered = time.perf_counter()
    count = 0
    for result in scatter.as_answered(context, cells, timeout, _newest):
        if result.is_answer:
            count += 1
            answered = time.perf_counter()
    ended = time.perf_counter()
    if count not in (0, _ALIVE):
        raise common.Failure(f'{count} cells answered, not {_ALIVE}')
    return common.Sample(count, answered - began), common.Sample(len(cells), ended - began)


def _newest(context: RequestContext) -> int:
    """Work as for a page of a list."""
    table = nova_cell.instances
    columns = [table.c[name] for name in listing.SORT_KEYS]
    query = sa.select(*columns).where(table.c.deleted == 0).order_by(table.c.created_at.desc())
    with context.cell.reader() as connection:
        return len(connection.execute(query.limit(100)).all())


# Targets.


@dataclasses.dataclass
class Kept:
    """What a process keeps while it targets cells, in the course of time."""

    cells: int
    kept_open: int
    targets: int
    seconds: float = 0
    connections: list[int] = dataclasses.field(default_factory=list)
    kilobytes: list[int] = dataclasses.field(default_factory=list)


def measure_targets(
    options: argparse.Namespace,
    settings: cfg.ConfigOpts,
    server: sa.URL,
    cells: list[CellMapping],
    kept_open: int = 100,
) -> Kept:
    settings.set_override('max_open_cells', kept_open, group='cells')
    target.forget_all()
    context = get_admin_context()
    kept = Kept(len(cells), kept_open, options.targets)
    engine = sa.create_engine(server, poolclass=sa.NullPool)
    for part in range(_PARTS):
        began = time.perf_counter()
        for number in range(options.targets // _PARTS):
            with (
                target.target_cell(context, cells[number % len(cells)]) as cctxt,
                cctxt.cell.reader() as connection,
            ):
                connection.exec_driver_sql('SELECT 1').scalar_one()
        kept.seconds += time.perf_counter() - began
        gc.collect()
        kept.connections.append(_connections(engine))
        kept.kilobytes.append(_resident_kilobytes())
        common.say(f'{part + 1} of {_PARTS}: {kept.connections[-1]} connections')
    target.forget_all()
    return kept


def _connections(engine: sa.Engine) -> int:
    query = "SELECT count(*) FROM information_schema.processlist WHERE db LIKE 'bench\\_%%'"
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def _resident_kilobytes() -> int:
    status = Path('/proc/self/status').read_text()
    [line] = [line for line in status.splitlines() if line.startswith('VmRSS')]
    return int(line.split()[1])


# What is told of it.


def print_calls(samples: dict[str, list[common.Sample]], options: argparse.Namespace) -> list[str]:
    rows = []
    for name, taken in samples.items():
        milliseconds = common.Spread.of(1000 * sample.seconds for sample in taken)
        rows.append((name, milliseconds.render('.1f')))
    alone, beside = common.seconds(samples[_ALONE]), common.seconds(samples[_FIRST])
    ratio = beside.median / alone.median
    word = 'reached' if ratio <= GOAL else 'missed'
    common.print_table(
        f'Ten cells on MariaDB, {options.instances:,} instances in each',
        ('', '>milliseconds'),
        rows,
        (
            f'{options.rounds} rounds, interleaved; median (lowest - highest); a call waits '
            f'{options.timeout:g} s for each cell',
            f'beside the dead: {ratio:.2f} times the time alone; the goal of {GOAL} is {word}',
        ),
    )
    return [] if ratio <= GOAL else [f'{ratio:.2f} times the time alone']


def print_targets(kept: Kept) -> list[str]:
    rows = [
        (f'{(part + 1) * kept.targets // _PARTS:,}', f'{count}', f'{size / 1024:.1f}')
        for part, (count, size) in enumerate(zip(kept.connections, kept.kilobytes, strict=True))
    ]
    problems = []
    if max(kept.connections) > min(kept.cells, kept.kept_open):
        problems.append(f'{max(kept.connections)} connections')
    # The first part fills the pools and the caches of statements.
    if kept.kilobytes[-1] > _FLAT * kept.kilobytes[1]:
        problems.append(f'memory grew from {kept.kilobytes[1]} to {kept.kilobytes[-1]} kB')
    common.print_table(
        f'{kept.cells} cells, connections to at most {kept.kept_open} kept open',
        ('>targets', '>connections', '>MB'),
        rows,
        (
            f'{1e6 * kept.seconds / kept.targets:,.0f} us each, with a statement',
            'flat' if not problems else '; '.join(problems),
        ),
    )
    return problems
