# SPDX-License-Identifier: Apache-2.0
"""Options that take a time, such as 90, 90s, 15m, 1h and 1d."""

import datetime
import re

from nova_cellmap.cli.failures import CommandError

# The --min-age of an audit where none is given.
MIN_AGE = '15m'
_UNITS = {'': 1, 's': 1, 'm': 60, 'h': 3600, 'd': 86400}
_FORM = re.compile('([0-9]{1,9})([smhd]?)')
# Ten years; more are no time to wait for.
_MOST = datetime.timedelta(days=3653)


def duration(option: str, text: str) -> datetime.timedelta:
    """The time that an option gives: a number of seconds, or of what stands behind it.

    :raises: CommandError
    """
    found = _FORM.fullmatch(text)
    time = found and datetime.timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if time is None or time > _MOST:
        raise CommandError(
            f'{option} must be a time of at most ten years, such as 90, 90s, 15m, 1h or 1d, '
            f'not {text!r}.'
        )
    return time


def moment(option: str, text: str) -> datetime.datetime:
    """The moment that an option gives, as naive UTC: one in ISO 8601, or so long ago.

    :raises: CommandError
    """
    if _FORM.fullmatch(text):
        return _now() - duration(option, text)
    try:
        found = datetime.datetime.fromisoformat(text)
        if found.tzinfo is None:
            return found
        return found.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise CommandError(
            f'{option} must be a moment, such as 2026-11-30T22:00 (UTC), or how long ago that is, '
            f'such as 15m or 12h, not {text!r}.'
        ) from None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
