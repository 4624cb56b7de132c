# SPDX-License-Identifier: Apache-2.0
"""A run over a large table, in batches."""

import itertools
import logging
import threading
from typing import Any, NamedTuple

import fixtures
import hypothesis
from hypothesis import strategies as st

from nova_cellmap.db import api as db_api
from nova_cellmap.tests import base
from nova_cellmap.upkeep import batches
from nova_cellmap.upkeep.batches import Run


class _Batch(NamedTuple):
    ids: list[int]

    @property
    def last_id(self) -> int:
        return self.ids[-1]

    @property
    def rows(self) -> int:
        return len(self.ids)


class _Table:
    """A table with these ids, and what has been written of it."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = sorted(ids)
        self.committed: list[int] = []
        self.noted: list[int] = []
        self.fails_at: int | None = None

    def read(self, last_id: int, limit: int) -> _Batch | None:
        ids = [number for number in self.ids if number > last_id][:limit]
        return _Batch(ids) if ids else None

    def write(self, batch: _Batch, turn: db_api.Turn) -> int:
        if self.fails_at in batch.ids:
            raise ZeroDivisionError
        turn(None)
        self.committed += batch.ids
        return len(batch.ids)

    def note(self, batch: _Batch, result: int) -> None:
        assert result == batch.rows
        self.noted += batch.ids

    def go(self, run: Run, **options: Any) -> list[int]:
        """Go on with a run; answer how far it had come after each batch."""
        told: list[int] = []
        given = {'writers': 2, 'max_count': None, 'batch_size': 2, **options}
        batches.go_through(
            run,
            self.read,
            self.write,
            self.note,
            on_batch=lambda run: told.append(run.last_id),
            **given,
        )
        return told


class Runs(base.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(
        st.sets(st.integers(1, 100), max_size=30).map(list),
        st.integers(1, 3),
        st.lists(st.tuples(st.integers(1, 10), st.integers(1, 7)), max_size=4),
    )
    def test_any_runs_read_and_commit_each_row_once_and_in_order(
        self, ids: list[int], writers: int, runs: list[tuple[int, int]]
    ) -> None:
        table, last_id, rows = _Table(ids), 0, 0
        for max_count, batch_size in [*runs, (None, 3)]:
            run = Run(last_id=last_id)
            told = table.go(run, writers=writers, max_count=max_count, batch_size=batch_size)
            self.assertEqual(told, sorted(set(told)))
            self.assertEqual(told[-1:] or [last_id], [run.last_id])
            last_id, rows = run.last_id, rows + run.rows
            self.assertEqual(rows, len(table.committed))
            # It is at its end where nothing is left, and only there.
            self.assertEqual(rows == len(ids), run.done)
        self.assertEqual(sorted(ids), table.committed)
        self.assertEqual(sorted(ids), table.noted)

    def test_a_failure_ends_it_with_what_is_before(self) -> None:
        table = _Table([*range(1, 21)])
        table.fails_at = 9
        run, before = Run(), threading.active_count()
        self.assertRaises(ZeroDivisionError, table.go, run)
        self.assertEqual([*range(1, 9)], table.committed)
        self.assertEqual((8, 8, False), (run.last_id, run.rows, run.done))
        self.assertEqual(before, threading.active_count())
        # It can be gone on with.
        table.fails_at = None
        table.go(run)
        self.assertEqual((table.ids, True), (table.committed, run.done))


class Warnings(base.TestCase):
    def test_a_million_problems_are_not_all_told(self) -> None:
        log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))
        problems = itertools.count(1)
        told = 0
        for _ in range(50):
            some = [f'problem {next(problems)}' for _ in range(7)]
            batches.warn('cell1', some, told)
            told += len(some)
        lines = log.output.splitlines()
        self.assertEqual('Left as it is, in cell1: problem 1', lines[0])
        self.assertEqual('Left as it is, in cell1: problem 100', lines[99])
        self.assertEqual(1, len(lines[100:]))
        self.assertIn('cell1', lines[100])
