# SPDX-License-Identifier: Apache-2.0
"""Telling what is refused of many from the rest."""

from collections.abc import Sequence

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import exception
from nova_cellmap.tests import base
from nova_cellmap.upkeep import apart


class Each(base.TestCase):
    @hypothesis.given(st.lists(st.booleans(), max_size=40))
    def test_what_is_refused_is_told_and_the_rest_is_done_once(self, are_bad: list[bool]) -> None:
        items = list(enumerate(are_bad))
        done: list[tuple[int, bool]] = []
        refused: list[tuple[int, bool]] = []

        def do(some: Sequence[tuple[int, bool]]) -> None:
            if any(is_bad for _, is_bad in some):
                raise exception.InvalidInput(reason='one of them')
            done.extend(some)

        apart.each(items, do, lambda item, error: refused.append(item))
        self.assertEqual([item for item in items if not item[1]], done)
        self.assertEqual([item for item in items if item[1]], refused)

    def test_another_error_passes(self) -> None:
        def do(some: Sequence[int]) -> None:
            raise exception.DatabaseBusy()

        self.assertRaises(exception.DatabaseBusy, apart.each, [1, 2], do, lambda item, error: None)
