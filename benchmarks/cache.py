# SPDX-License-Identifier: Apache-2.0
"""Lookups of instances with and without the cache, and changes, which have to tell it.

``--race`` has processes change and look up mappings at the same time, while memcached and they
are killed: a lookup that finds what was before is a broken promise.
"""

import argparse
import contextlib
import functools
import random
import time
from typing import Any
import uuid

from benchmarks import common
from benchmarks import remote
import nova_cellmap
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import api
from nova_cellmap.db import migration
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional.db.caching import cache_race

DATABASE, CACHE = 'database', 'cache'
_ALONE, _MANY, _SAVES = 'lookup', '100 at once', 'save'
_AT_ONCE = 100


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--database', choices=['mariadb', 'postgresql', 'sqlite'], default='mariadb'
    )
    parser.add_argument('--mappings', type=int, default=5000, metavar='N', help='%(default)s')
    parser.add_argument('--rounds', type=int, default=7, metavar='N', help='%(default)s')
    parser.add_argument('--lookups', type=int, default=2000, metavar='N', help='%(default)s')
    parser.add_argument('--race', type=float, metavar='SECONDS', help='race, measure nothing')


def servers(options: argparse.Namespace) -> list[str]:
    return ['memcached', *([] if options.database == 'sqlite' else [options.database])]


def run(options: argparse.Namespace) -> dict[str, Any]:
    with fixtures.Database(options.database) as database:
        migration.db_sync(engine=database.engine())
        if options.race:
            return _race(database, options.race)
        return _measure_all(database, options)


def _measure_all(database: fixtures.Database, options: argparse.Namespace) -> dict[str, Any]:
    confs = {DATABASE: database.conf(), CACHE: database.conf()}
    fixtures.use_cache(confs[CACHE])
    nova_cellmap.configure(confs[CACHE])
    uuids = _fill(options.mappings)
    # The first lookup puts it in, the second one has the cells known.
    for _ in range(2):
        InstanceMappingList.get_by_instance_uuids(get_admin_context(), uuids)
    samples = common.interleaved(
        options.rounds,
        {
            f'{what}: {where}': functools.partial(
                _measure, measure, confs[where], uuids, options.lookups
            )
            for what, measure in ((_ALONE, _look_up), (_MANY, _look_up_many), (_SAVES, _save))
            for where in confs
        },
    )
    ratios = {
        what: common.times_as_fast(samples[f'{what}: {CACHE}'], samples[f'{what}: {DATABASE}'])
        for what in (_ALONE, _MANY, _SAVES)
    }
    rows = [
        [
            what,
            *(
                common.Spread.of(
                    sample.seconds / sample.count * 1e6 for sample in samples[f'{what}: {where}']
                ).render()
                for where in confs
            ),
            ratio.render('.2f'),
        ]
        for what, ratio in ratios.items()
    ]
    common.print_table(
        f'On {options.database}, microseconds each',
        ['', *(f'>{w}' for w in confs), '>times'],
        rows,
    )
    return {
        'benchmark': 'cache',
        'database': options.database,
        'ratios': {what: vars(ratio) for what, ratio in ratios.items()},
        'samples': {name: common.as_values(taken) for name, taken in samples.items()},
    }


def _fill(count: int) -> list[str]:
    context = get_admin_context()
    cells = []
    for name in remote.CELLS:
        cell = CellMapping(context, name=name, **remote.urls(name))
        cell.create()
        cells.append(cell.uuid)
    rows = [
        {
            'instance_uuid': str(uuid.uuid4()),
            'project_id': uuid.uuid4().hex,
            'user_id': uuid.uuid4().hex,
            'cell_uuid': random.choice(cells),
        }
        for _ in range(count)
    ]
    api.instance_mapping_create_bulk(context, rows)
    return [str(row['instance_uuid']) for row in rows]


def _measure(measure: Any, conf: Any, uuids: list[str], count: int) -> common.Sample:
    nova_cellmap.configure(conf)
    # Connections are made, and the cells known.
    InstanceMappingList.get_by_instance_uuids(get_admin_context(), uuids[:10])
    sample: common.Sample = measure(uuids, count)
    return sample


def _look_up(uuids: list[str], count: int) -> common.Sample:
    context = get_admin_context()
    wanted = random.choices(uuids, k=count)
    start = time.perf_counter()
    for each in wanted:
        InstanceMapping.get_by_instance_uuid(context, each)
    return common.Sample(count, time.perf_counter() - start)


def _look_up_many(uuids: list[str], count: int) -> common.Sample:
    context = get_admin_context()
    lists = [random.sample(uuids, _AT_ONCE) for _ in range(max(1, count // _AT_ONCE))]
    start = time.perf_counter()
    for each in lists:
        InstanceMappingList.get_by_instance_uuids(context, each)
    return common.Sample(len(lists), time.perf_counter() - start)


def _save(uuids: list[str], count: int) -> common.Sample:
    context = get_admin_context()
    chosen = random.sample(uuids, min(len(uuids), max(1, count // 10)))
    mappings = [InstanceMapping.get_by_instance_uuid(context, each) for each in chosen]
    for mapping in mappings:
        mapping.user_id = uuid.uuid4().hex
    start = time.perf_counter()
    for mapping in mappings:
        mapping.save()
    seconds = time.perf_counter() - start
    for each in chosen:
        InstanceMapping.get_by_instance_uuid(context, each)
    return common.Sample(len(mappings), seconds)


def _race(database: fixtures.Database, seconds: float) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        memcached = [stack.enter_context(fixtures.Memcached()) for _ in range(2)]
        conf = database.conf()
        fixtures.use_cache(conf, *(each.address for each in memcached), socket_timeout=20.0)
        nova_cellmap.configure(conf)
        context = get_admin_context()
        uuids = [str(uuid.uuid4()) for _ in range(20)]
        owners = dict.fromkeys(cache_race.COLUMNS, '0')
        for each in uuids:
            InstanceMapping(context, instance_uuid=each, **owners).create()
        report = cache_race.Race(conf, memcached, uuids).run(seconds)
    common.print_table(
        f'{seconds:,.0f} s of changes, lookups and deaths',
        ['>rows looked up', '>of the database', '>saved', '>deaths', '>wrong'],
        [
            [
                f'{number:,}'
                for number in (
                    report.answers,
                    report.read,
                    report.saved,
                    report.deaths,
                    len(report.wrong),
                )
            ]
        ],
        report.wrong[:10],
    )
    return {'benchmark': 'cache', 'race': vars(report), 'broken': report.wrong}
