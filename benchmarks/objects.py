# SPDX-License-Identifier: Apache-2.0
"""Objects from rows, and to and from primitives, beside the library's own ways.

What is measured goes the short ways first and then, over the same objects, those of
oslo.versionedobjects. Both must come to the same.
"""

import argparse
from collections.abc import Callable
import contextlib
import datetime
import functools
import gc
import time
from typing import Any
import uuid

from benchmarks import common
from benchmarks import remote
import nova_cellmap
from nova_cellmap import conf
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import api
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests import stock_paths

OURS, STOCK = 'nova_cellmap', 'oslo.versionedobjects'
_TIME = datetime.datetime(2026, 1, 2, 3, 4, 5)
# The last release that had no cell_mapping in an InstanceMapping.
_OLDER = '1.3'
_WAYS = {
    'from rows': 15,
    'to primitives': 15,
    'from primitives': 9,
    f'to primitives of {_OLDER}': 4,
}

Ways = dict[str, Callable[[], Any]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rounds', type=int, default=9, metavar='N', help='%(default)s')
    parser.add_argument(
        '--objects', type=int, default=10_000, metavar='N', help='in a round; %(default)s'
    )


def servers(options: argparse.Namespace) -> list[str]:
    return []


def run(options: argparse.Namespace) -> dict[str, Any]:
    configuration = conf.new(config_files=[])
    # Cells ask it for what their templates are filled from; nothing is read.
    configuration.set_override('connection', 'sqlite://', group='api_database')
    nova_cellmap.configure(configuration)
    ways = _ways(options.objects)
    measures = {}
    for name, way in ways.items():
        with stock_paths.only():
            stock = repr(way())
        if repr(way()) != stock:
            raise common.Failure(f'{name}: {OURS} and {STOCK} do not come to the same')
        measures[f'{name}: {OURS}'] = functools.partial(_measure, options.objects, way, is_on=True)
        measures[f'{name}: {STOCK}'] = functools.partial(
            _measure, options.objects, way, is_on=False
        )
    samples = common.interleaved(options.rounds, measures)
    ratios = {
        name: common.times_as_fast(samples[f'{name}: {OURS}'], samples[f'{name}: {STOCK}'])
        for name in ways
    }
    _print(samples, ratios)
    return {
        'benchmark': 'objects',
        'goals': _WAYS,
        'versions': dict(common.our_environment().versions),
        'ratios': {name: vars(ratio) for name, ratio in ratios.items()},
        'samples': {name: common.as_values(taken) for name, taken in samples.items()},
    }


def _ways(count: int) -> Ways:
    context = get_admin_context()
    cells = {row['uuid']: row for row in map(_cell_row, range(len(remote.CELLS)))}
    rows = [_row(number, list(cells.values())) for number in range(count)]
    listed = api.MappingRows(list(map(api.columns_of, rows)), cells)
    mappings = list(_from_listed(context, listed))
    primitives = [mapping.obj_to_primitive() for mapping in mappings]
    return {
        'from rows': lambda: _from_listed(context, listed),
        'to primitives': lambda: [mapping.obj_to_primitive() for mapping in mappings],
        'from primitives': lambda: [
            InstanceMapping.obj_from_primitive(primitive, context) for primitive in primitives
        ],
        f'to primitives of {_OLDER}': lambda: [
            mapping.obj_to_primitive(target_version=_OLDER) for mapping in mappings
        ],
    }


def _from_listed(context: Any, listed: api.MappingRows) -> Any:
    return InstanceMappingList._from_listed(context, listed)


def _measure(count: int, way: Callable[[], Any], *, is_on: bool) -> common.Sample:
    with contextlib.nullcontext() if is_on else stock_paths.only():
        gc.collect()
        start, cpu_start = time.perf_counter(), time.process_time()
        way()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return common.Sample(count, seconds, cpu_seconds)


def _print(samples: dict[str, list[common.Sample]], ratios: dict[str, common.Spread]) -> None:
    rows = [
        (
            name,
            *(_microseconds(samples[f'{name}: {side}']) for side in (OURS, STOCK)),
            ratio.render(',.1f'),
            f'{_WAYS[name]}',
        )
        for name, ratio in ratios.items()
    ]
    common.print_table(
        'Objects: microseconds each',
        ('', f'>{OURS}', f'>{STOCK}', '>times as fast', '>goal'),
        rows,
        ['Medians, lowest and highest of the rounds.'],
    )


def _microseconds(samples: list[common.Sample]) -> str:
    return common.Spread.of(each.seconds / each.count * 1e6 for each in samples).render(',.1f')


def _cell_row(number: int) -> dict[str, Any]:
    name = remote.CELLS[number]
    return {
        'created_at': _TIME,
        'updated_at': None,
        'id': number + 1,
        'uuid': str(uuid.UUID(int=number)),
        'name': name,
        'disabled': False,
        **remote.urls(name),
    }


def _row(number: int, cells: list[dict[str, Any]]) -> dict[str, Any]:
    cell = cells[number % len(cells)]
    return {
        'created_at': _TIME + datetime.timedelta(seconds=number // 10),
        'updated_at': None,
        'id': number + 1,
        'instance_uuid': str(uuid.UUID(int=number)),
        'cell_uuid': cell['uuid'],
        'project_id': f'{number % 100:032x}',
        'user_id': f'{number % 300:032x}',
        'queued_for_delete': False,
        'cell_mapping': cell,
    }
