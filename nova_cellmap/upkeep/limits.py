# SPDX-License-Identifier: Apache-2.0
"""How much a run may change, and how long it may take."""

from collections.abc import Callable, Iterable
import dataclasses
import datetime
import time

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api


@dataclasses.dataclass(frozen=True)
class MostChanges:
    """How many mappings a run may change: so many, or a part of all that there are.

    ``number`` of them in any case, and ``percent`` of all where that is more.
    """

    number: int = 0
    percent: float = 0

    def of(self, count: Callable[[], int]) -> int:
        """The number.

        :param count: tells how many mappings there are, which takes its time
        """
        return max(self.number, int(count() * self.percent / 100) if self.percent else 0)


# What a wrong cell or replica makes wrong is more; what a night does to a mapping is less.
DEFAULT = MostChanges(number=100, percent=1)


def refusal(
    context: RequestContext,
    most: MostChanges | None,
    number: int,
    problems: Iterable[tuple[str, int]],
) -> exception.ChangesRefused | None:
    """Why so many changes may not be made; None where they may.

    :param most: None: any number
    :param problems: each kind, and how many there are of it
    """
    if most is None or number <= most.number:
        return None

    def count() -> int:
        counts = db_api.instance_mapping_count_by_cell_and_project(context)
        return sum(mappings for _, _, mappings, _ in counts)

    allowed = most.of(count)
    if number <= allowed:
        return None
    kinds = ', '.join(f'{of_kind:,} {kind}' for kind, of_kind in sorted(problems))
    return exception.ChangesRefused(number=number, kinds=kinds, most=allowed)


class Deadline:
    """The end of a run that may take so long, or any time."""

    def __init__(self, most: datetime.timedelta | None) -> None:
        self._end = None if most is None else time.monotonic() + most.total_seconds()

    @property
    def is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end
