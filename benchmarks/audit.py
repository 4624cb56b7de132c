# SPDX-License-Identifier: Apache-2.0
"""Auditing a cloud without faults, beside bare SELECTs of the same columns.

What an audit has to read are the instances of every cell and the mapping. The bare streams
read just that, one after the other, with the driver alone and nothing compared: in no order,
and in the order that an audit needs. The memory is the whole process's, at its highest.
"""

import argparse
from collections.abc import Iterator
import contextlib
import functools
import os
from pathlib import Path
import statistics
import tempfile
from typing import Any

import sqlalchemy as sa

from benchmarks import common
from benchmarks import deployment
import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap import nova_cell
from nova_cellmap.db import migration
from nova_cellmap.objects import CellMapping
from nova_cellmap.upkeep import mapping

# Of the rate of the bare streams, and in bytes.
GOAL = 0.5
MEMORY_GOAL = 300 * 10**6
_KINDS = ('mariadb', 'postgresql', 'sqlite')
_CELLS = 3
_AUDIT, _BARE, _ORDERED = 'audit', 'bare streams', 'bare streams, in order'


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--only', choices=_KINDS, help='measure on this one alone')
    parser.add_argument('--rounds', type=int, default=3, metavar='N', help='%(default)s')
    parser.add_argument(
        '--instances', type=int, default=1_000_000, metavar='N', help='in all; %(default)s'
    )


def servers(options: argparse.Namespace) -> list[str]:
    return [kind for kind in _kinds(options) if kind != 'sqlite']


def _kinds(options: argparse.Namespace) -> tuple[str, ...]:
    return (options.only,) if options.only else _KINDS


def run(options: argparse.Namespace) -> dict[str, Any]:
    results = {kind: _measure(kind, options) for kind in _kinds(options)}
    return {'benchmark': 'audit', 'goal': GOAL, 'memory_goal': MEMORY_GOAL, 'results': results}


def _measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        _room(kind),
        _cloud(kind, Path(folder), options) as task,
    ):
        common.say(f'{kind}: {options.instances:,} instances in {_CELLS} cells')
        memory: list[int] = []
        measures = {
            _AUDIT: functools.partial(_take, task, memory, bare=False),
            _BARE: functools.partial(_take, task, [], bare=True),
            _ORDERED: functools.partial(_take, task, [], bare=True, order=' ORDER BY uuid'),
        }
        samples = common.interleaved(options.rounds, measures)
    ratios = {
        name: common.times_as_fast(samples[_AUDIT], samples[name]) for name in (_BARE, _ORDERED)
    }
    common.print_table(
        f'{kind}: an audit of {options.instances:,} instances in {_CELLS} cells',
        ('', '>seconds', '>instances a second', '>rate of the audit beside it'),
        [
            (
                name,
                common.seconds(taken).render(',.1f'),
                common.rates(taken).render(),
                ratios[name].render('.2f') if name in ratios else '',
            )
            for name, taken in samples.items()
        ],
        [f'memory of the audit at its highest: {max(memory) / 10**6:,.0f} MB'],
    )
    return {
        'samples': {name: common.as_values(taken) for name, taken in samples.items()},
        'ratio': ratios[_BARE].median,
        'memory': statistics.median(memory),
    }


@contextlib.contextmanager
def _room(kind: str) -> Iterator[None]:
    """Let the tables fit into memory, as a deployment's do: MariaDB has 128 MiB otherwise."""
    if kind != 'mariadb':
        yield
        return
    server = sa.make_url(os.environ[common.SERVER_URLS[kind]])
    with deployment.settings(server, {'innodb_buffer_pool_size': 4 * 2**30}):
        yield


def _take(task: dict[str, Any], memory: list[int], bare: bool, order: str = '') -> common.Sample:
    answer = common.run_worker(
        common.our_environment(), 'audit_worker.py', {**task, 'bare': bare, 'order': order}
    )
    if answer['problems']:
        raise common.Failure(f'{answer["problems"]} problems where there are none')
    memory.append(answer['peak_memory'])
    return common.Sample(answer['count'], answer['seconds'], answer['cpu_seconds'])


@contextlib.contextmanager
def _cloud(kind: str, folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Cells of that kind, mapped; what a worker needs to know of them."""
    with contextlib.ExitStack() as stack:
        names = ['nova_cellmap', *(f'cell{number}' for number in range(1, _CELLS + 1))]
        urls = [stack.enter_context(_database(kind, folder, name)) for name in names]
        config = folder / 'nova-cellmap.conf'
        config.write_text(f'[api_database]\nconnection = {urls[0]}\n')
        made = nova_cellmap.configure(conf.new(config_files=[str(config)]))
        stack.callback(made.close)
        migration.db_sync()
        for number, url in enumerate(urls[1:]):
            # The rest goes to the first.
            size = options.instances // _CELLS + (options.instances % _CELLS if not number else 0)
            _make_cell(f'cell{number + 1}', url, size, number)
        yield {'config': str(config), 'mapping': urls[0], 'cells': urls[1:]}


def _make_cell(name: str, url: str, size: int, seed: int) -> None:
    database = sa.create_engine(url)
    nova_cell.create(database)
    nova_cell.fill(database, size, seed=seed)
    database.dispose()
    request = context.get_admin_context()
    cell = CellMapping(request, name=name, transport_url='none:///', database_connection=url)
    cell.create()
    mapping.map_instances(request, cell)


@contextlib.contextmanager
def _database(kind: str, folder: Path, name: str) -> Iterator[str]:
    if kind == 'sqlite':
        yield f'sqlite:///{folder}/{name}.sqlite'
        return
    server = sa.create_engine(
        os.environ[common.SERVER_URLS[kind]], isolation_level='AUTOCOMMIT', poolclass=sa.NullPool
    )
    name = f'benchmark_audit_{name}'
    with server.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE {name}')
    try:
        yield server.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE {name}')
