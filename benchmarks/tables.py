# SPDX-License-Identifier: Apache-2.0
"""The tables of the documentation's page on performance, as CSV."""

from collections.abc import Iterable, Mapping
import csv
from pathlib import Path
import statistics
from typing import Any

from benchmarks import common
from benchmarks import paths

_PAGES = {'page_first': paths.PAGE, 'page_last': paths.PAGE}


def write_paths(report: Mapping[str, Any], folder: Path) -> None:
    """``paths.csv``: what each path takes on each database; ``novas.csv``; ``goals.csv``."""
    rows, on_novas = [], []
    for name, result in report['results'].items():
        for path in paths.PATHS:
            sides = result['samples'].get(path.name)
            if not sides:
                continue
            ours, nova, raw = (sides.get(side) for side in (paths.OURS, paths.NOVA, paths.RAW))
            beside = sides.get(paths.BESIDE)
            if beside:
                values = (*map(_microseconds, (beside, nova, ours)), _ratio(nova, beside, '.1f'))
                on_novas.append((paths.titled(name), path.title, *values))
            rows.append(
                (
                    paths.titled(name),
                    path.title,
                    *map(_microseconds, (ours, nova, raw)),
                    _ratio(nova, ours, '.1f'),
                    _ratio(ours, raw, '.2f'),
                )
            )
    header = (
        '',
        'microseconds a mapping',
        common.OURS,
        common.NOVA,
        'driver alone',
        'times as fast as Nova',
        "times the driver's time",
    )
    _write(folder / 'paths.csv', header, rows)
    novas_header = (
        '',
        "microseconds a mapping, on Nova's tables",
        common.OURS,
        common.NOVA,
        f'{common.OURS} on tables of its own',
        'times as fast as Nova',
    )
    _write(folder / 'novas.csv', novas_header, on_novas)
    goals = (
        (
            paths.titled(goal['database']),
            paths.path(goal['path']).title,
            paths.render_goal(goal),
            f'{goal["ratio"]["median"]:.2f}',
            'kept' if goal['kept'] else 'missed',
        )
        for goal in report['goals']
    )
    _write(folder / 'goals.csv', ('', 'path', 'goal', 'measured', ''), goals)


def write_growth(report: Mapping[str, Any], folder: Path) -> None:
    """``growth.csv``: what each path takes at each size."""
    names = ('lookup', 'page_first', 'page_last', 'count', 'create_bulk')
    rows = [
        (
            paths.titled(database),
            f'{point["size"]:,}',
            *(_microseconds(point['samples'][name], _PAGES.get(name, 1)) for name in names),
            f'{point["bytes"] / point["size"]:,.0f}',
            f'{point["bytes"] / 2**30:,.2f}',
        )
        for database, points in report['results'].items()
        for point in points
    ]
    header = (
        'microseconds',
        'mappings',
        'lookup',
        'first page of 1,000',
        'last page of 1,000',
        "count of a fifth's project",
        'create_bulk, each',
        'bytes a mapping',
        'GiB',
    )
    _write(folder / 'growth.csv', header, rows)


def write_pairs(report: Mapping[str, Any], file: Path, unit: float, form: str) -> None:
    """What is measured by two sides, whose samples are named ``what: side``.

    :param unit: in seconds, of the times in the table
    """
    sides: dict[str, dict[str, float]] = {}
    for key, samples in report['samples'].items():
        what, _, side = key.rpartition(': ')
        each = statistics.median(it['seconds'] / it['count'] / unit for it in samples)
        sides.setdefault(what, {})[side] = each
    names = list(dict.fromkeys(side for taken in sides.values() for side in taken))
    rows = [
        (
            what,
            *(f'{taken[name]:{form}}' if name in taken else '' for name in names),
            f'{report["ratios"][what]["median"]:.1f}' if what in report['ratios'] else '',
        )
        for what, taken in sides.items()
    ]
    _write(file, ('', *names, 'times as fast'), rows)


def _microseconds(samples: list[dict[str, Any]] | None, things: int = 1) -> str:
    if not samples:
        return ''
    each = statistics.median(it['seconds'] / it['count'] * things * 1e6 for it in samples)
    return f'{each:,.1f}' if each < 100 else f'{each:,.0f}'


def _ratio(slow: list[dict[str, Any]] | None, fast: list[dict[str, Any]] | None, form: str) -> str:
    """The median of each round's own pair."""
    if not slow or not fast:
        return ''
    ratio = statistics.median(
        its['rate'] / others['rate'] for its, others in zip(fast, slow, strict=True)
    )
    return f'{ratio:{form}}'


def _write(file: Path, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    with file.open('w', newline='') as out:
        writer = csv.writer(out, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)
