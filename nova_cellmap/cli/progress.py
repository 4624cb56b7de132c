# SPDX-License-Identifier: Apache-2.0
"""How far a long run has come: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
import contextlib
import time
from typing import Protocol, TextIO

from nova_cellmap.cli import streams
from nova_cellmap.text import escaped

# Seconds between two lines where nobody watches.
_LINE_INTERVAL = 10


class Report(Protocol):
    """Called whenever there is news.

    :param done: how much of *total* is done
    :param count: how many things have been dealt with, for the rate
    """

    def __call__(self, done: float, total: float, count: int) -> None: ...


@contextlib.contextmanager
def shown(what: str, stream: TextIO, quiet: bool = False) -> Iterator[Report]:
    """Show the progress of a run on *stream* while the block lasts."""
    what = escaped(what)
    if quiet:
        yield lambda done, total, count: None
    elif stream.isatty():
        with _bar(what, stream) as report:
            yield report
    else:
        yield _lines(what, stream)


@contextlib.contextmanager
def _bar(what: str, stream: TextIO) -> Iterator[Report]:
    from rich import console
    from rich import progress

    with progress.Progress(
        # Names may look like rich's markup.
        progress.TextColumn('{task.description}', markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn('{task.fields[count]:,} at {task.fields[rate]:,.0f}/s'),
        progress.TimeRemainingColumn(compact=True),
        console=console.Console(file=streams.to_draw_on(stream)),
    ) as bar:
        task = bar.add_task(what, total=None, count=0, rate=0)
        start = time.monotonic()

        def report(done: float, total: float, count: int) -> None:
            rate = count / max(time.monotonic() - start, 1e-3)
            bar.update(task, completed=done, total=total, count=count, rate=rate)

        yield report


def _lines(what: str, stream: TextIO) -> Report:
    start = last = time.monotonic()
    is_over = False

    def report(done: float, total: float, count: int) -> None:
        nonlocal last, is_over
        now = time.monotonic()
        if is_over or (now - last < _LINE_INTERVAL and done < total):
            return
        last, is_over = now, done >= total
        elapsed = max(now - start, 1e-3)
        left = elapsed * (total - done) / done if done else 0
        print(
            f'{what}: {done / total:.0%}, {count:,} at {count / elapsed:,.0f}/s, '
            f'{left:,.0f} s left',
            file=stream,
            flush=True,
        )

    return report
