# SPDX-License-Identifier: Apache-2.0
"""What a transaction changes of that which is cached."""

from collections.abc import Iterable, Iterator
import contextlib
import time

from nova_cellmap import runtime
from nova_cellmap.db.caching import cache
from nova_cellmap.db.caching.known_cells import KnownCells


class Changes:
    """The changes of one transaction, told to the caches as they are made and at its end.

    :ivar is_committing: whether it has come to its commit, whose outcome nobody knows where
        it fails
    :ivar begun_at: when it began, on the clock of ``time.monotonic``
    :ivar generation: of the known cells, then
    :ivar have_cells: whether it has changed cells
    """

    def __init__(self, owner: runtime.Runtime) -> None:
        self.is_committing = False
        self.begun_at = time.monotonic()
        self._known_cells = owner.part(KnownCells)
        self.generation = self._known_cells.generation
        self.have_cells = False
        self._cache = cache.of(owner)
        self._token = b'' if self._cache is None else cache.new_token()
        self._uuids: set[str] = set()

    @property
    def are_cached(self) -> bool:
        """Whether there is a cache that has to be told of mappings."""
        return self._cache is not None

    def note_mappings(self, uuids: Iterable[str]) -> None:
        """Mappings of these instances are changed; the transaction has locked their rows."""
        if self._cache is not None:
            uuids = set(uuids)
            self._uuids |= uuids
            self._cache.hide(uuids, self._token)

    def note_cells(self) -> None:
        self.have_cells = True

    def end(self, *, are_made: bool | None) -> None:
        """Tell of the end.

        :param are_made: None where nobody knows
        """
        if self.have_cells:
            self._known_cells.forget()
        # Where a commit may still be made after this, the tombstones stay.
        if self._cache is not None and self._uuids and are_made is not None:
            self._cache.show(self._uuids, self._token, are_changed=are_made)


@contextlib.contextmanager
def noted(owner: runtime.Runtime) -> Iterator[Changes]:
    """A block that is a transaction, with its end."""
    changes = Changes(owner)
    try:
        yield changes
    except BaseException:
        changes.end(are_made=None if changes.is_committing else False)
        raise
    changes.end(are_made=True)
