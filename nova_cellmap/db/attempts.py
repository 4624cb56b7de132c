# SPDX-License-Identifier: Apache-2.0
"""Trying again what went wrong in a way that may pass.

``[api_database] db_max_retries`` and ``call_timeout`` say when it is enough.
"""

from collections.abc import Callable, Iterator
import itertools
import logging
import random
import time
from typing import TypeVar

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.db import errors
from nova_cellmap.db.engine import Engines
from nova_cellmap.db.errors import Kind
from nova_cellmap.db.schemas.detection import Detected

LOG = logging.getLogger(__name__)

_T = TypeVar('_T')

# What another try may find to be gone.
PASSING = (Kind.LOST, Kind.LOCKED, Kind.CROWDED, Kind.READ_ONLY)


def repeat(
    attempt: Callable[[], _T],
    owner: runtime.Runtime,
    *,
    is_last: bool = False,
    doubt: Callable[[], BaseException | None] = lambda: None,
) -> _T:
    """Try until it goes well, nothing suggests that it will, or it has been tried for long.

    :param is_last: whether there is only one try
    :param doubt: tells, after a try, the error of a commit of which is not known whether it was
        made
    :raises: what callers catch
    """
    begun = time.monotonic()
    left: Iterator[float] | None = iter(()) if is_last else None
    is_again = False
    while True:
        try:
            return attempt()
        except errors.DRIVER as error:
            uncertain = doubt()
            longest = owner.part(Engines).call_timeout
            if left is None:
                left = pauses(owner)
            may_pass = uncertain is not None or errors.kind_of(error) in PASSING
            pause = next(left, None) if may_pass else None
            if pause is None or time.monotonic() - begun + pause > longest:
                made = translated(error, owner) if uncertain is None else uncommitted(uncertain)
                raise made from errors.without_rows(error)
            if not is_again:
                LOG.warning('Trying again: %s', errors.reason(error))
            is_again = True
            time.sleep(pause)


def pauses(owner: runtime.Runtime) -> Iterator[float]:
    """How many seconds there are between one try and the next."""
    retries = owner.part(Engines).retries
    pause = retries.first_pause
    for _ in itertools.count() if retries.most < 0 else range(retries.most):
        # Two who met in a deadlock are not to meet in another.
        yield pause * random.uniform(0.5, 1)
        if retries.longest_pause is not None:
            pause = min(2 * pause, retries.longest_pause)


def translated(error: BaseException, owner: runtime.Runtime) -> exception.CellMapError:
    """What callers catch of an error of the mapping database."""
    if errors.kind_of(error) is Kind.SCHEMA:
        # What was found there before is not there any longer.
        owner.part(Detected).forget()
    return errors.of_mapping(error, owner.part(Engines).shown_url)


def uncommitted(error: BaseException) -> exception.DatabaseOutcomeUnknown:
    """What callers catch of a commit of which is not known whether it was made."""
    return exception.DatabaseOutcomeUnknown(reason=errors.reason(error))
