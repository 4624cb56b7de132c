# SPDX-License-Identifier: Apache-2.0
"""All that is said of speed: hot paths, objects, start-up, map_instances; in one run.

The short form takes few mappings and short rounds: it shows where things stand, in three
minutes. What the documentation says comes from the long one.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks import map_instances
from benchmarks import objects
from benchmarks import paths
from benchmarks import plots
from benchmarks import startup
from benchmarks import tables

_PARTS: dict[str, common.Subject] = {
    'objects': objects,
    'startup': startup,
    'paths': paths,
    'map_instances': map_instances,
}
_SHORT = {
    'objects': ['--rounds', '7', '--objects', '1000'],
    'startup': ['--rounds', '2'],
    'paths': ['--mappings', '20000', '--bulk', '2000', '--seconds', '0.02'],
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--short', action='store_true', help='the short form')
    parser.add_argument(
        '--plots', type=Path, metavar='DIR', help='draw what was measured into this folder'
    )


def servers(options: argparse.Namespace) -> list[str]:
    return ['mariadb', 'postgresql']


def run(options: argparse.Namespace) -> dict[str, Any]:
    reports = {}
    for name, part in _PARTS.items():
        if options.short and name not in _SHORT:
            continue
        parser = argparse.ArgumentParser()
        part.add_options(parser)
        words = _SHORT[name] if options.short else []
        its_options = parser.parse_args(words, argparse.Namespace(nova_env=options.nova_env))
        common.say(f'{name}: {(part.__doc__ or "").splitlines()[0]}')
        reports[name] = part.run(its_options)
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        illustrate(reports, options.plots)
    return {'benchmark': 'suite', 'parts': reports}


def illustrate(reports: Mapping[str, Any], folder: Path) -> None:
    """Draw and tabulate what the documentation shows."""
    plots.draw_paths(reports['paths'], folder / 'paths.svg')
    tables.write_paths(reports['paths'], folder)
    tables.write_pairs(reports['objects'], folder / 'objects.csv', 1e-6, ',.1f')
    tables.write_pairs(reports['startup'], folder / 'startup.csv', 1, '.2f')
