# SPDX-License-Identifier: Apache-2.0
"""How long ago something was changed, and how long it is left alone then."""

from collections.abc import Iterable
import dataclasses
import datetime

_UNITS = (('day', 86400), ('hour', 3600), ('minute', 60), ('second', 1))
# Of so many of the smaller unit it is said how many they are, rather than of the larger.
_FEW = 2


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long what differs is left alone, since Nova may be at work on it.

    The age of an instance is the time since its rows and its mapping were written last, each by
    the clock of the server that has it.

    ``min_age`` is the age from which on what differs is a problem; ``stuck_after`` that from
    which on Nova is no more at work, whatever it says.
    """

    min_age: datetime.timedelta = datetime.timedelta()
    stuck_after: datetime.timedelta = datetime.timedelta(days=1)

    def is_young(self, age: datetime.timedelta | None) -> bool:
        """Whether it may be different in a moment.

        The clocks of Nova's machines may be ahead of a server's: what was written in the future
        is young too, unless it is so far ahead that it is no time of a change at all.
        """
        return bool(self.min_age) and age is not None and -self.stuck_after < age < self.min_age

    def is_over(self, age: datetime.timedelta | None) -> bool:
        return age is not None and age >= self.stuck_after


def least(
    ages: Iterable[datetime.timedelta | None],
) -> datetime.timedelta | None:
    """The least of those that are known."""
    return min((age for age in ages if age is not None), default=None)


def since(
    now: datetime.datetime | None, changed_at: datetime.datetime | None
) -> datetime.timedelta | None:
    """How long ago it was; None where one of the two is not known."""
    return None if now is None or changed_at is None else now - changed_at


def shown(age: datetime.timedelta) -> str:
    """An age in words, in the largest unit of which it is a few."""
    seconds = int(age.total_seconds())
    for unit, length in _UNITS:
        number = seconds // length
        if number >= _FEW:
            return f'{number:,} {unit}s'
    return f'{seconds} second' if seconds == 1 else f'{seconds} seconds'
