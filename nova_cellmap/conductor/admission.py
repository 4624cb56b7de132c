# SPDX-License-Identifier: Apache-2.0
"""How much a worker takes on at once.

oslo.messaging takes every call that the message queue has, and keeps those that wait for a thread
in memory. With a bound they wait in the queue, for other workers to take, and are dropped there
when nobody waits for their answers any more.
"""

import threading

# So many calls at once, however small they are.
_MOST = 256


class Room:
    """So many bytes of calls are worked on at once.

    :param size: in bytes
    :param patience: for how many seconds a call waits for room before it is taken all the same:
        the connection that it came on has to be looked after
    """

    def __init__(self, size: int, patience: float = 5) -> None:
        self._size = size
        self._patience = patience
        self._taken = 0
        self._changed = threading.Condition(threading.RLock())

    @property
    def taken(self) -> int:
        """The bytes of the calls that are worked on."""
        return self._taken

    def enter(self, size: int) -> int:
        """Wait for room; answer what to :meth:`leave` with."""
        size = min(max(size, self._size // _MOST), self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self._size, self._patience)
            self._taken += size
        return size

    def leave(self, size: int) -> None:
        """Make room again."""
        with self._changed:
            self._taken -= size
            self._changed.notify()
