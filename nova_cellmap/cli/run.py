# SPDX-License-Identifier: Apache-2.0
"""What the commands share that go over a large table in batches."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nova_cellmap.cli import base
from nova_cellmap.cli import progress

if TYPE_CHECKING:
    from nova_cellmap.upkeep.batches import Run


def add_options(parser: argparse.ArgumentParser, thing: str) -> None:
    """The options of a run over many *thing*\\ s."""
    parser.add_argument(
        '--max-count',
        metavar='N',
        help=f'Stop after N {thing}s; the next run goes on there. All by default.',
    )
    parser.add_argument(
        '--batch-size',
        metavar='N',
        help=f'Read and write N {thing}s at a time; 2000 by default, at most 100,000.',
    )
    parser.add_argument(
        '--reset',
        action='store_true',
        help=f'Begin at the first {thing}, not where a run was stopped.',
    )


def options(parsed_args: argparse.Namespace, no_number: int = base.Status.USAGE) -> dict[str, Any]:
    """The arguments that these options give.

    :raises: CommandError with the status *no_number* where a number is not a positive one
    """
    given = {
        'max_count': base.positive('--max-count', parsed_args.max_count, status=no_number),
        'batch_size': base.positive(
            '--batch-size', parsed_args.batch_size, base.MOST_AT_ONCE, no_number
        ),
        'reset': parsed_args.reset,
    }
    return {name: value for name, value in given.items() if value is not None}


def telling(report: progress.Report) -> 'Callable[[Run], None]':
    """What is called after each batch, to tell *report* of it."""

    def on_batch(run: 'Run') -> None:
        end = max(run.end_id, run.last_id)
        report(run.last_id - run.first_id, end - run.first_id, run.rows)

    return on_batch


def status_of(run: 'Run', conflicts: int) -> int:
    """The exit status: 1 where there is more to do, else 2 where there were conflicts."""
    if not run.done:
        return 1
    return 2 if conflicts else 0
