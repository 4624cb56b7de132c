# SPDX-License-Identifier: Apache-2.0
"""The switch of the short ways past what libraries do at length.

:mod:`nova_cellmap.objects.fast` has those of the objects, :mod:`nova_cellmap.db.statements` those
of statements. Tests switch them off, and hold what comes about against what the libraries make.
"""

from collections.abc import Iterator
import contextlib

are_on = True


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Leave all to the libraries, in all threads."""
    global are_on
    before, are_on = are_on, False
    try:
        yield
    finally:
        are_on = before
