# SPDX-License-Identifier: Apache-2.0
"""How long it takes until a command says something, or until the objects can be used.

New processes, one after the other. Beside them is what Python alone takes to start.
"""

import argparse
import functools
from pathlib import Path
from typing import Any

from benchmarks import common

GOAL = 10
_HELP, _OBJECTS, _BARE = '--help', 'import of the objects', 'Python alone'
_LIBRARY = 'import of oslo.versionedobjects'


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rounds', type=int, default=9, metavar='N', help='%(default)s')


def servers(options: argparse.Namespace) -> list[str]:
    return []


def run(options: argparse.Namespace) -> dict[str, Any]:
    ours, nova = common.our_environment(), common.nova_environment(options.nova_env)
    commands: dict[tuple[str, str], list[str | Path]] = {
        (_HELP, ours.name): [ours.scripts / 'nova-cellmap-manage', '--help'],
        (_HELP, nova.name): [nova.scripts / 'nova-manage', '--help'],
        (_OBJECTS, ours.name): [ours.python, '-c', 'import nova_cellmap.objects'],
        # Nova imports none of them until it is told to.
        (_OBJECTS, nova.name): [
            nova.python,
            '-c',
            'from nova import objects; objects.register_all()',
        ],
        (_LIBRARY, ours.name): [ours.python, '-c', 'import oslo_versionedobjects.base'],
        (_BARE, ours.name): [ours.python, '-c', 'pass'],
    }
    samples = common.interleaved(
        options.rounds,
        {': '.join(key): functools.partial(_start, command) for key, command in commands.items()},
    )
    taken = {key: samples[': '.join(key)] for key in commands}
    ratios = {
        what: common.times_as_fast(taken[what, ours.name], taken[what, nova.name])
        for what in (_HELP, _OBJECTS)
    }
    _print(taken, ratios, ours.name, nova.name)
    return {
        'benchmark': 'startup',
        'goal': GOAL,
        'versions': {each.name: dict(each.versions) for each in (nova, ours)},
        'ratios': {what: vars(ratio) for what, ratio in ratios.items()},
        'samples': {name: common.as_values(each) for name, each in samples.items()},
    }


def _start(command: list[str | Path]) -> common.Sample:
    return common.Sample(1, common.timed([command], (0,)))


def _print(
    taken: dict[tuple[str, str], list[common.Sample]],
    ratios: dict[str, common.Spread],
    ours: str,
    nova: str,
) -> None:
    rows = []
    for what in dict.fromkeys(what for what, _ in taken):
        theirs = taken.get((what, nova))
        rows.append(
            (
                what,
                common.seconds(taken[what, ours]).render('.2f'),
                common.seconds(theirs).render('.2f') if theirs else '',
                ratios[what].render(',.1f') if what in ratios else '',
                str(GOAL) if what in ratios else '',
            )
        )
    common.print_table(
        'Starting: seconds',
        ('', f'>{ours}', f'>{nova}', '>times as fast', '>goal'),
        rows,
        ['Medians, lowest and highest of the rounds.'],
    )
