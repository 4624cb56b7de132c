# SPDX-License-Identifier: Apache-2.0
"""What becomes of each path as the mapping grows, from 10,000 to 10,000,000 instances.

The same database is filled on and on, and stopped at each size to measure. The size of the
database is what the server says of the table and its indexes.
"""

import argparse
import contextlib
import dataclasses
from pathlib import Path
import random
import tempfile
from typing import Any

import sqlalchemy as sa

from benchmarks import common
from benchmarks import deployment
from benchmarks import paths
from benchmarks import paths_data
from benchmarks import plots
from benchmarks import tables

# Times a lookup among the fewest.
GOAL = 1.5
_SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
_DATABASES = ('pymysql', 'postgresql')
_PATHS = ('lookup', 'page_first', 'page_last', 'count', 'create_bulk')
# Room for the indexes in memory, as a deployment of that size has it.
_BUFFER = {'innodb_buffer_pool_size': 4 * 2**30}
_BYTES = {
    'mysql': 'SELECT data_length + index_length FROM information_schema.tables WHERE'
    " table_schema = DATABASE() AND table_name = 'instance_mapping'",
    'postgresql': "SELECT pg_total_relation_size('instance_mapping')",
}


@dataclasses.dataclass
class Point:
    """What was measured at a size; ``bytes`` is that of table and indexes together."""

    size: int
    bytes: int
    samples: dict[str, list[common.Sample]]

    def microseconds(self, path: str) -> common.Spread:
        """Of a call; of create_bulk, of a mapping."""
        calls = {'page_first': paths.PAGE, 'page_last': paths.PAGE}.get(path, 1)
        return common.Spread.of(
            sample.seconds / sample.count * calls * 1e6 for sample in self.samples[path]
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--only', choices=_DATABASES, help='measure on this one alone')
    parser.add_argument(
        '--sizes', type=int, nargs='+', default=_SIZES, metavar='N', help='%(default)s'
    )
    parser.add_argument('--rounds', type=int, default=7, metavar='N', help='%(default)s')
    parser.add_argument(
        '--seconds', type=float, default=0.5, metavar='S', help='of each path; %(default)s'
    )
    parser.add_argument(
        '--plots', type=Path, metavar='DIR', help='draw what was measured into this folder'
    )


def servers(options: argparse.Namespace) -> list[str]:
    return sorted({database.server or '' for database in _chosen(options)})


def run(options: argparse.Namespace) -> dict[str, Any]:
    results = {each.name: _measure(options, each) for each in _chosen(options)}
    for name, points in results.items():
        _print(paths.titled(name), points)
    report = {
        'benchmark': 'growth',
        'goal': GOAL,
        'versions': dict(common.our_environment().versions),
        'results': {
            name: [
                {
                    'size': point.size,
                    'bytes': point.bytes,
                    'samples': {
                        path: common.as_values(taken) for path, taken in point.samples.items()
                    },
                }
                for point in points
            ]
            for name, points in results.items()
        },
    }
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        plots.draw_growth(report, options.plots / 'growth.svg')
        tables.write_growth(report, options.plots)
    return report


def _chosen(options: argparse.Namespace) -> list[paths.Database]:
    names = [options.only] if options.only else _DATABASES
    return [each for each in paths.DATABASES if each.name in names]


def _measure(options: argparse.Namespace, database: paths.Database) -> list[Point]:
    assert database.url is not None
    points = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if database.server == 'mariadb':
            stack.enter_context(deployment.settings(database.url, _BUFFER))
        url, _ = stack.enter_context(paths_data.databases(folder, database.url))
        config = paths_data.make_schema(folder, url)
        mappings = paths_data.Mappings(max(options.sizes))
        filling = paths_data.Filling(mappings, url)
        for size in sorted(options.sizes):
            filling.up_to(size)
            common.say(f'{database.title}: {size:,} mappings')
            points.append(_at(options, url, config, mappings, size))
    return points


def _at(
    options: argparse.Namespace,
    url: sa.URL,
    config: Path,
    mappings: paths_data.Mappings,
    size: int,
) -> Point:
    chosen = [path for path in paths.PATHS if path.name in _PATHS]
    with paths.our_worker(config) as worker:
        samples = paths.rounds(
            options,
            chosen,
            paths.Run(mappings, random.Random(size)),
            {paths.OURS: worker},
            None,
            lambda: paths_data.forget_new(url),
        )
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        bytes_ = int(connection.exec_driver_sql(_BYTES[engine.dialect.name]).scalar_one())
    return Point(size, bytes_, {name: sides[paths.OURS] for name, sides in samples.items()})


def _print(title: str, points: list[Point]) -> None:
    first = points[0].microseconds('lookup').median
    rows = [
        (
            f'{point.size:,}',
            *(f'{point.microseconds(path).median:,.0f}' for path in _PATHS),
            f'{point.microseconds("lookup").median / first:.2f}',
            f'{point.bytes / point.size:,.0f}',
            f'{point.bytes / 2**30:,.2f}',
        )
        for point in points
    ]
    common.print_table(
        f'{title}: microseconds',
        (
            '>mappings',
            '>lookup',
            '>first page of 1,000',
            '>last page',
            '>count',
            '>create_bulk, each',
            '>lookup, of the first',
            '>bytes a mapping',
            '>GiB',
        ),
        rows,
        [f'Medians. A lookup among the most is to take at most {GOAL} times the first.'],
    )
