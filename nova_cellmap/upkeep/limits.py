# SPDX-License-Identifier: Apache-2.0
"""How much a run may change, and how long it may take."""

from collections.abc import Callable
import dataclasses
import datetime
import time


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


class Deadline:
    """The end of a run that may take so long, or any time."""

    def __init__(self, most: datetime.timedelta | None) -> None:
        self._end = None if most is None else time.monotonic() + most.total_seconds()

    @property
    def is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end
