# SPDX-License-Identifier: Apache-2.0
"""Drawing what benchmarks measured."""

from collections.abc import Mapping
from pathlib import Path
import statistics
from typing import Any

import matplotlib as mpl
from matplotlib import figure as mpl_figure
from matplotlib import ticker

from benchmarks import common
from benchmarks import paths

_SIDES = {
    paths.OURS: (common.OURS, '#2a7f4f'),
    paths.NOVA: (common.NOVA, '#c0504d'),
    paths.RAW: ('the driver alone', '#8a8a8a'),
}
_SHOWN = ('lookup', 'hundred', 'project', 'count', 'create', 'create_bulk', 'save')
_GROWING = {
    'lookup': 'a lookup',
    'page_first': 'the first page of 1,000',
    'page_last': 'the last page of 1,000',
    'count': "the count of a project's fifth",
    'create_bulk': 'create_bulk, each',
}


def draw_paths(report: Mapping[str, Any], file: Path) -> None:
    """A panel a database: the time of each path, by us, by Nova and by the driver alone."""
    results = report['results']
    figure, panels = _panels(len(results), width=5)
    for panel, (name, result) in zip(panels, results.items(), strict=True):
        shown = [path for path in paths.PATHS if path.name in _SHOWN]
        for place, (side, (label, colour)) in enumerate(_SIDES.items()):
            times = [_each(result['samples'][path.name].get(side)) for path in shown]
            rows = [
                (number + 0.27 * (place - 1), time)
                for number, time in enumerate(times)
                if time is not None
            ]
            panel.barh(*zip(*rows, strict=True), height=0.25, color=colour, label=label)
        panel.set_yticks(range(len(shown)), [path.title for path in shown])
        panel.invert_yaxis()
        panel.set_xscale('log')
        panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:g}'))
        panel.set_xlabel('microseconds a mapping')
        panel.set_title(paths.titled(name))
    _save(figure, panels[0], file)


def draw_growth(report: Mapping[str, Any], file: Path) -> None:
    """A panel a database: what each path takes as the mapping grows."""
    figure, panels = _panels(len(report['results']), width=5)
    for panel, (name, points) in zip(panels, report['results'].items(), strict=True):
        sizes = [point['size'] for point in points]
        for path, label in _GROWING.items():
            pages = paths.PAGE if path.startswith('page') else 1
            times = [(_each(point['samples'][path]) or 0) * pages for point in points]
            panel.plot(sizes, times, marker='o', label=label)
        panel.set_xscale('log')
        panel.set_yscale('log')
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:,.0f}'))
        panel.set_xlabel('mappings')
        panel.set_ylabel('microseconds')
        panel.set_title(paths.titled(name))
        panel.grid(alpha=0.3)
    _save(figure, panels[0], file)


def _each(samples: list[dict[str, Any]] | None) -> float | None:
    if not samples:
        return None
    return statistics.median(float(it['seconds'] / it['count'] * 1e6) for it in samples)


def _panels(count: int, width: float) -> tuple[Any, list[Any]]:
    columns = min(2, count)
    lines = -(-count // columns)
    figure = mpl_figure.Figure(figsize=(width * columns, 3.6 * lines), layout='constrained')
    panels = figure.subplots(lines, columns, squeeze=False)
    return figure, list(panels.flat)[:count]


def _save(figure: Any, panel: Any, file: Path) -> None:
    """With a legend of what is in a panel, below all of them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=3, frameon=False)
    # The same measurements give the same file.
    with mpl.rc_context({'svg.hashsalt': 'nova_cellmap'}):
        figure.savefig(file, metadata={'Date': None})
