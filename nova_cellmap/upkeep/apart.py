# SPDX-License-Identifier: Apache-2.0
"""Telling what is refused of many from the rest."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from nova_cellmap import exception

_T = TypeVar('_T')


def each(
    items: Sequence[_T],
    do: Callable[[Sequence[_T]], None],
    refused: Callable[[_T, exception.InvalidInput], None],
) -> None:
    """Do something with many items at once; where one of them is refused, with the others.

    :param do: raises InvalidInput and does nothing where it cannot be done with all
    :param refused: called with each with which it cannot be done
    """
    if not items:
        return
    try:
        do(items)
    except exception.InvalidInput as error:
        if len(items) == 1:
            refused(items[0], error)
            return
        middle = len(items) // 2
        each(items[:middle], do, refused)
        each(items[middle:], do, refused)
