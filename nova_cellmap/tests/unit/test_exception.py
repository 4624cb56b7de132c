# SPDX-License-Identifier: Apache-2.0
"""What callers can catch."""

import inspect
import string
from typing import Any

from nova_cellmap import exception
from nova_cellmap.tests import base

_CLASSES: list[type[Any]] = [
    each
    for _, each in inspect.getmembers(exception, inspect.isclass)
    if issubclass(each, Exception) and each.__module__ == exception.__name__
]


def _made(cls: type[Any]) -> exception.CellMapError:
    names = {name for _, name, _, _ in string.Formatter().parse(cls.msg_fmt) if name}
    made: exception.CellMapError = cls(**{name: f'<{name}>' for name in names})
    return made


class Tree(base.TestCase):
    def test_it_is_one_tree(self) -> None:
        self.assertGreater(len(_CLASSES), 30)
        for cls in _CLASSES:
            self.assertTrue(issubclass(cls, exception.CellMapError), cls)

    def test_wrong_input_is_a_value_error_too(self) -> None:
        for cls in (exception.InvalidInput, exception.InvalidURL, exception.InvalidOption):
            self.assertTrue(issubclass(cls, ValueError))

    def test_what_is_not_there_can_be_caught_at_once(self) -> None:
        for cls in (
            exception.InstanceMappingNotFound,
            exception.CellMappingNotFound,
            exception.MarkerNotFound,
        ):
            self.assertTrue(issubclass(cls, exception.NotFound))


class Messages(base.TestCase):
    def test_each_is_a_sentence_or_part_of_one_and_has_its_values(self) -> None:
        for cls in _CLASSES:
            error = _made(cls)
            self.assertTrue(str(error).strip(), cls)
            for name, value in error.kwargs.items():
                self.assertIn(value, str(error))
                self.assertEqual(f'<{name}>', value)

    def test_no_two_ways_of_failing_say_the_same(self) -> None:
        ends = [cls for cls in _CLASSES if not cls.__subclasses__()]
        self.assertEqual(len(ends), len({cls.msg_fmt for cls in ends}))

    def test_the_caller_may_give_the_whole_message(self) -> None:
        self.assertEqual('all of it', str(exception.NotFound('all of it')))

    def test_a_value_that_is_missing_is_a_mistake_of_ours(self) -> None:
        self.assertRaises(KeyError, exception.CellMappingNotFound)

    def test_a_conflict_tells_the_cell_that_won(self) -> None:
        error = exception.InstanceMappingConflict(uuid='u', cell_uuid='c', expected='e')
        self.assertEqual('c', error.cell_uuid)
        self.assertIsNone(exception.InstanceMappingConflict('said').cell_uuid)
