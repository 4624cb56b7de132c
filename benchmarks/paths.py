# SPDX-License-Identifier: Apache-2.0
"""Every hot path, beside Nova's objects and the driver alone.

The same mapping is in two databases, ours and one with Nova's schema. Four processes wait
side by side: one with our objects, one with our objects on Nova's tables, one with Nova's
objects, one that sends our statements through the driver and nothing else. Each round has each
of them take each path once. Another version of the package may be a fifth, to see what a
change costs.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
import json
import os
from pathlib import Path
import random
import subprocess
import tempfile
from typing import Any

import sqlalchemy as sa

from benchmarks import common
from benchmarks import deployment
from benchmarks import paths_data
from benchmarks import paths_statements
from benchmarks.paths_data import Mappings

OURS, BEFORE, BESIDE, NOVA, RAW = 'ours', 'before', 'beside', 'nova', 'raw'

PAGE = 1000
_HUNDRED = 100
# What a server does unless somebody tells it otherwise: on disk at each commit. And room for the
# indexes in memory.
_SETTINGS = {'innodb_flush_log_at_trx_commit': 1, 'innodb_buffer_pool_size': 2 * 2**30}


@dataclasses.dataclass(frozen=True)
class Database:
    """A kind of server, if any, and a driver to reach it with, and who packages that."""

    name: str
    title: str
    server: str | None
    driver: str
    package: str | None

    @property
    def url(self) -> sa.URL | None:
        if self.server is None:
            return None
        address = sa.make_url(os.environ[common.SERVER_URLS[self.server]])
        # An option of PyMySQL, which the others do not know.
        options = [] if self.driver.endswith('pymysql') else ['ssl_disabled']
        return address.set(drivername=self.driver).difference_update_query(options)


DATABASES = (
    Database('sqlite', 'SQLite', None, 'sqlite', None),
    Database('pymysql', 'MariaDB, PyMySQL', 'mariadb', 'mysql+pymysql', 'PyMySQL'),
    Database('mysqlclient', 'MariaDB, mysqlclient', 'mariadb', 'mysql+mysqldb', 'mysqlclient'),
    Database(
        'postgresql',
        'PostgreSQL, psycopg2',
        'postgresql',
        'postgresql+psycopg2',
        'psycopg2-binary',
    ),
)
_MARIADB = ('pymysql', 'mysqlclient')
_ALL = tuple(database.name for database in DATABASES)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a round draws the arguments of its calls from."""

    mappings: Mappings
    draw: random.Random

    def uuids(self, count: int) -> list[str]:
        return self.draw.sample(self.mappings.uuids, count)

    def cell(self) -> str:
        return self.draw.choice(self.mappings.cells)


@dataclasses.dataclass(frozen=True)
class HotPath:
    """What is called.

    :ivar things: how many objects a call is about
    :ivar arguments: those of one call
    :ivar sides: who can do it
    :ivar is_sent: whether the driver sends what we send; or it has a way of its own
    :ivar most: as many calls in a round at most
    """

    name: str
    title: str
    arguments: Callable[[Run], list[Any]]
    things: Callable[[Mappings], int] = lambda mappings: 1
    sides: Sequence[str] = (OURS, BEFORE, BESIDE, NOVA, RAW)
    is_sent: bool = True
    most: int = 5000


def _page_arguments(marker: str | None) -> list[Any]:
    return ['large', marker, PAGE]


PATHS = (
    HotPath('lookup', 'get_by_instance_uuid', lambda run: run.uuids(1)),
    HotPath(
        'lookup_in_reader',
        'get_by_instance_uuid, in a reader block',
        lambda run: run.uuids(_HUNDRED),
        things=lambda mappings: _HUNDRED,
        sides=(OURS, BEFORE, BESIDE),
    ),
    HotPath(
        'hundred',
        'get_by_instance_uuids, 100',
        lambda run: [run.uuids(_HUNDRED)],
        things=lambda mappings: _HUNDRED,
    ),
    HotPath(
        'project',
        "a project's 10,000",
        lambda run: ['ten_thousand'],
        things=lambda mappings: len(mappings.ten_thousand),
    ),
    HotPath(
        'page_first',
        'the first page of 1,000',
        lambda run: _page_arguments(None),
        things=lambda mappings: PAGE,
        sides=(OURS, BEFORE, BESIDE, RAW),
    ),
    HotPath(
        'page_last',
        'the last page of 1,000',
        lambda run: _page_arguments(run.mappings.large[-PAGE - 1]),
        things=lambda mappings: PAGE,
        sides=(OURS, BEFORE, BESIDE, RAW),
    ),
    HotPath('count', 'get_counts', lambda run: ['large']),
    HotPath('count_plain', 'the count without its index', lambda run: ['large'], sides=(RAW,)),
    HotPath('create', 'create', lambda run: [paths_data.NEW, run.cell()], is_sent=False, most=300),
    HotPath(
        'create_bulk',
        'create_bulk',
        lambda run: [paths_data.NEW, run.cell(), run.mappings.bulk],
        things=lambda mappings: mappings.bulk,
        sides=(OURS, BEFORE, BESIDE, RAW),
        is_sent=False,
        most=1,
    ),
    HotPath(
        'create_bulk_with_ids',
        'create_bulk with ids back',
        lambda run: [paths_data.NEW, run.cell(), run.mappings.bulk],
        things=lambda mappings: mappings.bulk,
        sides=(OURS, BEFORE, BESIDE),
        most=1,
    ),
    HotPath(
        'save', 'save', lambda run: run.uuids(1), sides=(OURS, BEFORE, BESIDE, NOVA), most=300
    ),
)


@dataclasses.dataclass(frozen=True)
class Goal:
    """How much faster than another path ours is to be, or how much slower it may be at most."""

    databases: Sequence[str]
    path: str
    side: str
    other: str
    bound: float
    at_most: bool = False

    def measure(self, samples: 'Samples') -> common.Spread:
        ours, others = samples[self.path][OURS], samples[self.other][self.side]
        if self.at_most:
            return common.times_as_fast(others, ours)
        return common.times_as_fast(ours, others)

    def is_kept(self, ratio: common.Spread) -> bool:
        return ratio.median <= self.bound if self.at_most else ratio.median >= self.bound


# By path, and whom it took.
Samples = dict[str, dict[str, list[common.Sample]]]

GOALS = (
    Goal(('sqlite',), 'lookup', NOVA, 'lookup', 10),
    Goal(('sqlite',), 'lookup_in_reader', NOVA, 'lookup', 25),
    Goal(('pymysql',), 'lookup', NOVA, 'lookup', 4.5),
    Goal(('pymysql',), 'lookup', RAW, 'lookup', 1.6, at_most=True),
    Goal(('mysqlclient',), 'lookup', NOVA, 'lookup', 5.5),
    Goal(_ALL, 'hundred', NOVA, 'lookup', 40),
    Goal(('sqlite', 'mysqlclient'), 'project', NOVA, 'project', 10),
    Goal(('pymysql',), 'project', NOVA, 'project', 5),
    Goal(_MARIADB, 'project', RAW, 'project', 1, at_most=True),
    Goal(_MARIADB, 'create_bulk_with_ids', NOVA, 'create', 90),
    Goal(('sqlite',), 'create_bulk_with_ids', NOVA, 'create', 150),
    Goal(_ALL, 'create_bulk_with_ids', RAW, 'create_bulk', 2.5, at_most=True),
    Goal(_MARIADB, 'create', NOVA, 'create', 3.5),
    Goal(('sqlite',), 'create', NOVA, 'create', 2.5),
    Goal(_ALL, 'page_last', OURS, 'page_first', 1.3, at_most=True),
    Goal(_MARIADB, 'count', RAW, 'count_plain', 4),
    Goal(('sqlite',), 'count', RAW, 'count_plain', 9),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--only', action='append', choices=_ALL, help='measure on this one; may be repeated'
    )
    parser.add_argument('--rounds', type=int, default=7, metavar='N', help='%(default)s')
    parser.add_argument(
        '--mappings', type=int, default=1_000_000, metavar='N', help='in each; %(default)s'
    )
    parser.add_argument(
        '--bulk',
        type=int,
        default=10_000,
        metavar='N',
        help='how many are created at once; %(default)s',
    )
    parser.add_argument(
        '--seconds',
        type=float,
        default=0.3,
        metavar='S',
        help='how long each path is taken by each in a round, about; %(default)s',
    )
    parser.add_argument(
        '--before',
        type=_checkout,
        metavar='CHECKOUT',
        help='measure another version of nova_cellmap, too: a folder with its checkout',
    )


def _checkout(text: str) -> Path:
    folder = Path(text).absolute()
    if not (folder / 'benchmarks/paths_ours.py').is_file():
        raise argparse.ArgumentTypeError(f'{folder} has no benchmarks/paths_ours.py')
    return folder


def servers(options: argparse.Namespace) -> list[str]:
    chosen = _chosen(options)
    return sorted({database.server for database in chosen if database.server is not None})


def run(options: argparse.Namespace) -> dict[str, Any]:
    nova = common.nova_environment(options.nova_env)
    results = {}
    for database in _chosen(options):
        lacking = [
            side.name
            for side in (nova, common.our_environment())
            if database.package is not None and database.package not in side.versions
        ]
        if lacking:
            common.say(
                f'{database.title} is left out: {database.package} is not installed beside '
                f'{" and ".join(lacking)}'
            )
            continue
        results[database.name] = _measure(options, nova, database)
    samples = {name: result['samples'] for name, result in results.items()}
    for name, each in samples.items():
        print_paths(titled(name), options.mappings, each)
    goals = [
        {**dataclasses.asdict(goal), 'database': name, 'ratio': ratio, 'kept': goal.is_kept(ratio)}
        for goal, name, ratio in _ratios(samples)
    ]
    print_goals(samples)
    return {
        'benchmark': 'paths',
        'mappings': options.mappings,
        'bulk': options.bulk,
        'rounds': options.rounds,
        'versions': {each.name: dict(each.versions) for each in (nova, common.our_environment())},
        'results': {
            name: {
                'server': result['server'],
                'samples': {
                    path: {side: common.as_values(taken) for side, taken in sides.items()}
                    for path, sides in result['samples'].items()
                },
            }
            for name, result in results.items()
        },
        'goals': [
            {**goal, 'ratio': dataclasses.asdict(goal['ratio']), 'databases': None}
            for goal in goals
        ],
    }


def _chosen(options: argparse.Namespace) -> list[Database]:
    return [each for each in DATABASES if not options.only or each.name in options.only]


def path(name: str) -> HotPath:
    return next(each for each in PATHS if each.name == name)


def titled(name: str) -> str:
    """What to call a database."""
    return next(each.title for each in DATABASES if each.name == name)


# Measuring.


def _measure(
    options: argparse.Namespace, nova: common.Environment, database: Database
) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings: Mapping[str, str] = {}
        if database.server == 'mariadb' and database.url is not None:
            settings = stack.enter_context(deployment.settings(database.url, _SETTINGS))
        our_url, nova_url = stack.enter_context(paths_data.databases(folder, database.url))
        our_config = paths_data.make_schema(folder, our_url)
        nova_config = paths_data.make_nova_schema(folder, nova, nova_url)
        mappings = Mappings(options.mappings, bulk=options.bulk)
        common.say(f'{database.title}: {mappings.size:,} mappings on each side')
        paths_data.Filling(mappings, our_url, nova_url).up_to(mappings.size)
        sides = {
            OURS: our_worker(our_config),
            BESIDE: our_worker(nova_config),
            NOVA: Worker(nova, ['-P', common.ROOT / 'benchmarks/paths_nova.py', nova_config]),
            RAW: Worker(common.our_environment(), ['-m', 'benchmarks.paths_raw', _text(our_url)]),
        }
        if options.before:
            sides[BEFORE] = our_worker(our_config, options.before)
        for side in sides.values():
            stack.enter_context(side)
        draw = Run(mappings, random.Random(1))
        statements = paths_statements.Statements(
            stack.enter_context(our_worker(our_config)).do, mappings, our_url.get_backend_name()
        )
        chosen = [
            path for path in PATHS if path.name != 'count_plain' or statements.has_plain_count
        ]
        forget = functools.partial(paths_data.forget_new, our_url, nova_url)
        samples = rounds(options, chosen, draw, sides, statements, forget)
    return {'server': settings, 'samples': samples}


def our_worker(config: Path, checkout: Path = common.ROOT) -> 'Worker':
    return Worker(common.our_environment(), ['-m', 'benchmarks.paths_ours', config], checkout)


def rounds(
    options: argparse.Namespace,
    paths: Sequence[HotPath],
    draw: Run,
    sides: Mapping[str, 'Worker'],
    statements: paths_statements.Statements | None,
    forget: Callable[[], None],
) -> Samples:
    """Have each side take each path once a round.

    :param options: with *rounds*, and *seconds* that a path is taken for
    :param statements: what the driver alone is told, where it is among the sides
    :param forget: called after each round
    """

    def take(path: HotPath, side: str, count: int) -> common.Sample:
        calls = [path.arguments(draw) for _ in range(count)]
        if side == RAW and path.is_sent and statements is not None:
            calls = [statements.of(path.name, arguments) for arguments in calls]
        answer = sides[side].do(path.name, calls)
        things = count * path.things(draw.mappings)
        return common.Sample(things, answer['seconds'], answer['cpu_seconds'])

    able = {path: [side for side in path.sides if side in sides] for path in paths}
    counts: dict[tuple[str, str], int] = {}
    for path in paths:
        for side in able[path]:
            # The first warms up, and the second tells.
            few = [take(path, side, min(path.most, 3)) for _ in range(2)][-1]
            calls = options.seconds / few.seconds * min(path.most, 3)
            counts[path.name, side] = max(1, min(path.most, round(calls)))
    samples: Samples = {path.name: {side: [] for side in able[path]} for path in paths}
    for number in range(1, options.rounds + 1):
        for path in paths:
            for side in able[path]:
                samples[path.name][side].append(take(path, side, counts[path.name, side]))
        forget()
        common.say(f'round {number} of {options.rounds}')
    return samples


class Worker:
    """A process that takes paths: see :mod:`benchmarks.worker_loop`."""

    def __init__(
        self,
        environment: common.Environment,
        arguments: Sequence[str | Path],
        folder: Path = common.ROOT,
    ) -> None:
        self._command = [str(environment.python), *map(str, arguments)]
        self._folder = folder

    def __enter__(self) -> 'Worker':
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._folder,
        )
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.communicate()
        self._errors.close()

    def do(self, path: str, calls: Sequence[Sequence[Any]]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps({'path': path, 'calls': calls}) + '\n')
            stdin.flush()
        line = stdout.readline()
        if not line:
            self._errors.seek(0)
            errors = self._errors.read().decode(errors='replace')
            raise common.Failure(f'{" ".join(self._command[:3])}\n{errors}')
        answer: dict[str, Any] = json.loads(line)
        return answer


# Tables.


def print_paths(title: str, mappings: int, samples: Samples) -> None:
    rows = []
    for path in PATHS:
        taken = samples.get(path.name)
        if not taken:
            continue
        rows.append(
            (
                path.title,
                *(_microseconds(taken.get(side)) for side in (OURS, BESIDE, NOVA, RAW)),
                _times(taken.get(OURS), taken.get(NOVA)),
                _times(taken.get(BESIDE), taken.get(NOVA)),
                _times(taken.get(RAW), taken.get(OURS)),
                _times(taken.get(BEFORE), taken.get(OURS)),
            )
        )
    common.print_table(
        f'{title}, {mappings:,} mappings: microseconds a mapping',
        (
            '',
            '>nova_cellmap',
            ">on Nova's tables",
            f'>{common.NOVA}',
            '>driver alone',
            '>times as fast',
            '>there',
            '>of driver',
            '>of before',
        ),
        rows,
        [
            "times as fast: as Nova; there: on Nova's tables; of driver: times the time of the "
            'driver alone; of before: times the time of the other version.',
            "Medians; each ratio is of a round's own pair.",
        ],
    )


def print_goals(samples: Mapping[str, Samples]) -> None:
    rows = [
        (
            titled(name),
            path(goal.path).title,
            render_goal(dataclasses.asdict(goal)),
            ratio.render(',.2f'),
            'kept' if goal.is_kept(ratio) else 'missed',
        )
        for goal, name, ratio in _ratios(samples)
    ]
    common.print_table('Goals', ('', 'path', 'goal', '>measured', ''), rows)


def render_goal(goal: Mapping[str, Any]) -> str:
    """A goal, by the names of its fields, in words."""
    most = 'at most ' if goal['at_most'] else ''
    return f'{most}{goal["bound"]:g} x {_OTHERS[goal["other"], goal["side"]]}'


# What is compared with, in a few words.
_OTHERS = {
    **{(path.name, NOVA): f'Nova, {path.title}' for path in PATHS},
    **{(path.name, RAW): 'the driver' for path in PATHS},
    ('page_first', OURS): 'the first page',
    ('count_plain', RAW): 'the count without its index',
}


def _ratios(samples: Mapping[str, Samples]) -> Iterator[tuple[Goal, str, common.Spread]]:
    for goal in GOALS:
        for name in goal.databases:
            if name in samples and goal.other in samples[name]:
                yield goal, name, goal.measure(samples[name])


def _microseconds(samples: list[common.Sample] | None) -> str:
    if samples is None:
        return ''
    each = common.Spread.of(sample.seconds / sample.count * 1e6 for sample in samples)
    return f'{each.median:,.1f}'


def _times(fast: list[common.Sample] | None, slow: list[common.Sample] | None) -> str:
    if fast is None or slow is None:
        return ''
    return f'{common.times_as_fast(fast, slow).median:,.2f}'


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)
