# SPDX-License-Identifier: Apache-2.0
"""A picture of the mapping: the cells, and the largest projects in them."""

from collections import Counter
from collections.abc import Mapping, Sequence
import io
import math
import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple
import warnings

from nova_cellmap import private_files
from nova_cellmap.cli import base

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = ('.png', '.svg', '.pdf')

# Okabe and Ito's colours, which the colour-blind tell apart as well.
_LIVE, _QUEUED = '#0072B2', '#E69F00'
_CELL_COLOURS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#000000')
_REST_COLOUR = '#999999'

_REST = 'other cells'

# In inches: a bar with the space to the next, what is above and below the bars, the width.
_BAR, _AROUND, _WIDTH = 0.27, 1.3, 10
# In characters: what is left of a bar, and in the key of the colours.
_LONGEST_LABEL, _LONGEST_KEY = 36, 18
_KEY_COLUMNS = 4


class CellBar(NamedTuple):
    """A cell, and how many of its mappings are live and queued for delete."""

    label: str
    live: int
    queued_for_delete: int


class ProjectBar(NamedTuple):
    """A project, and how many mappings it has, by the label of the cell."""

    label: str
    cells: Mapping[str, int]


def check(path: str) -> None:
    """Find out before any work whether such a picture can be drawn.

    :raises: CommandError
    """
    if _suffix(path) not in SUFFIXES:
        raise base.CommandError(f'--plot {path}: the name has to end in {", ".join(SUFFIXES)}.')
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise base.CommandError(
            "--plot needs matplotlib, which is not installed: pip install 'nova-cellmap[plot]'"
        ) from None


def _suffix(path: str) -> str:
    return pathlib.Path(path).suffix.lower()


def draw(path: str, cells: Sequence[CellBar], projects: Sequence[ProjectBar]) -> None:
    """Draw a picture in the format of the path's suffix.

    :param cells: from the largest to the smallest, as are the projects
    :raises: CommandError where it cannot be written
    """
    from matplotlib.figure import Figure

    heights = [_BAR * max(len(bars), 1) + _AROUND for bars in (cells, projects)]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout='constrained')
    upper, lower = figure.subplots(2, 1, height_ratios=heights)
    _draw_cells(upper, cells)
    _draw_projects(lower, projects)
    with warnings.catch_warnings():
        # A character of a name that the font does not have is drawn as a box.
        warnings.filterwarnings('ignore', message='Glyph')
        try:
            drawn = io.BytesIO()
            figure.savefig(drawn, dpi=120, format=_suffix(path).removeprefix('.'))
            private_files.replace(path, drawn.getvalue())
        except (OSError, ValueError) as error:
            raise base.CommandError(f'--plot {path}: {error}') from None


def _draw_cells(axes: 'Axes', cells: Sequence[CellBar]) -> None:
    series = {
        'live': ([cell.live for cell in cells], {'facecolor': _LIVE}),
        'queued for delete': (
            [cell.queued_for_delete for cell in cells],
            {'facecolor': _QUEUED, 'hatch': '////'},
        ),
    }
    _draw_bars(axes, 'Instances by cell', [cell.label for cell in cells], series)


def _draw_projects(axes: 'Axes', projects: Sequence[ProjectBar]) -> None:
    sizes: Counter[str] = Counter()
    for project in projects:
        sizes.update(project.cells)
    shown = [label for label, _ in sizes.most_common(len(_CELL_COLOURS))]
    series: dict[str, Any] = {
        label: ([project.cells.get(label, 0) for project in projects], {'facecolor': colour})
        for label, colour in zip(shown, _CELL_COLOURS, strict=False)
    }
    if len(sizes) > len(shown):
        rest = [
            sum(number for label, number in project.cells.items() if label not in shown)
            for project in projects
        ]
        series[_REST] = (rest, {'facecolor': _REST_COLOUR})
    title = 'The largest projects, by cell'
    _draw_bars(axes, title, [project.label for project in projects], series)


def _draw_bars(axes: 'Axes', title: str, labels: Sequence[str], series: Mapping[str, Any]) -> None:
    """Bars from the top to the bottom, each of parts that stand side by side."""
    from matplotlib import ticker

    places = range(len(labels))
    ends = [0] * len(labels)
    handles = []
    for lengths, style in series.values():
        handles.append(
            axes.barh(
                places, lengths, left=ends, height=0.74, linewidth=0.5, edgecolor='white', **style
            )
        )
        ends = [end + length for end, length in zip(ends, lengths, strict=True)]
    for place, end in zip(places, ends, strict=True):
        axes.annotate(
            f'{end:,}',
            (end, place),
            xytext=(4, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
            color='#333333',
        )
    axes.set_yticks(places, [_shortened(label, _LONGEST_LABEL) for label in labels], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.09, y=0.5 / max(len(labels), 1))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda number, _: f'{number:,.0f}'))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    axes.tick_params(axis='x', labelsize=8)
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x', color='#dddddd', linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    rows_of_key = math.ceil(len(series) / _KEY_COLUMNS)
    axes.set_title(title, loc='left', fontsize=11, fontweight='bold', pad=8 + 14 * rows_of_key)
    axes.set_xlabel('instance mappings', fontsize=8)
    key = axes.legend(
        handles,
        [_shortened(name, _LONGEST_KEY) for name in series],
        loc='lower left',
        bbox_to_anchor=(0, 1),
        ncols=_KEY_COLUMNS,
        frameon=False,
        fontsize=8,
        borderaxespad=0.2,
        handlelength=1.2,
        columnspacing=1.2,
    )
    for text in (*axes.get_yticklabels(), *key.get_texts()):
        # A name may hold a dollar sign.
        text.set_parse_math(False)


def _shortened(label: str, longest: int) -> str:
    text = ''.join(character if character.isprintable() else '?' for character in label)
    return text if len(text) <= longest else f'{text[: longest - 1]}…'
