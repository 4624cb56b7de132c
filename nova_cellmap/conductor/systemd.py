# SPDX-License-Identifier: Apache-2.0
"""What systemd is told of the conductor: see sd_notify(3).

The main process tells it, so ``NotifyAccess=main`` is enough.
"""

from collections.abc import MutableMapping
import logging
import os
import socket
import threading
import time

from nova_cellmap.conductor.board import Board

LOG = logging.getLogger(__name__)

# In seconds. A message queue that is not there is waited for, and systemd need not: after so long
# the conductor is ready, whatever its workers wait for.
_PATIENCE = 30.0
_INTERVAL = 1.0


class Systemd:
    """What started us, where that is systemd or asks to be told as it does.

    :param environment: it is taken from there, so that no other part tells systemd something else
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop('NOTIFY_SOCKET', '')
        seconds = environment.pop('WATCHDOG_USEC', '')
        is_ours = environment.pop('WATCHDOG_PID', f'{os.getpid()}') == f'{os.getpid()}'
        self.watchdog = int(seconds) / 1e6 if seconds.isdecimal() and is_ours else None

    @property
    def listens(self) -> bool:
        return self._address.startswith(('/', '@'))

    def tell(self, *states: str) -> None:
        """Tell it something; that it cannot be told is no reason to end."""
        address = f'\0{self._address[1:]}' if self._address[0] == '@' else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto('\n'.join(states).encode(), address)
        except OSError as error:
            LOG.debug('systemd could not be told %s: %s', states, error)


class Watch:
    """Looks after the workers, and tells systemd.

    It is ready when all workers answer calls. The watchdog is told that all is well as long as
    every worker runs; a worker that is stopped or stuck is silent, and so is the watch then.
    What calls, the database and the message queue do is of no concern: to start once more would
    help none of them.
    """

    def __init__(self, systemd: Systemd, board: Board) -> None:
        self._systemd = systemd
        self._board = board
        self._begun = time.monotonic()
        self._is_ready = False
        self._is_ending = False
        self._told = ''

    def start(self) -> None:
        """Watch from here on, in a daemon thread."""
        if self._systemd.listens:
            threading.Thread(target=self._repeat, name='nova-cellmap-watch', daemon=True).start()

    def end(self) -> None:
        """Tell that the conductor ends; its calls may take a while."""
        self._is_ending = True
        if self._systemd.listens:
            self._systemd.tell('STOPPING=1', 'STATUS=Finishing the calls in flight')

    def _repeat(self) -> None:
        interval = min(_INTERVAL, (self._systemd.watchdog or _INTERVAL) / 3)
        while True:
            self.look()
            time.sleep(interval)

    def look(self) -> None:
        """Look once, and tell what there is to tell."""
        if states := self._states():
            self._systemd.tell(*states)

    def _states(self) -> list[str]:
        states = []
        if self._systemd.watchdog is not None and self._all_run(self._systemd.watchdog):
            states.append('WATCHDOG=1')
        if self._is_ending:
            return states
        answering = self._board.answering
        workers = len(self._board.tallies)
        is_over = time.monotonic() - self._begun > _PATIENCE
        if not self._is_ready and (answering == workers or is_over):
            self._is_ready = True
            states.append('READY=1')
        status = f'STATUS={answering} of {workers} workers answer calls'
        if status != self._told:
            self._told = status
            states.append(status)
        return states

    def _all_run(self, seconds: float) -> bool:
        return self._is_ending or all(tally.age < seconds for tally in self._board.tallies)
