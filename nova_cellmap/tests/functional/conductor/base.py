# SPDX-License-Identifier: Apache-2.0
"""Conductors of several kinds."""

import atexit
import logging
from typing import Any
import uuid

import fixtures
from oslo_config import cfg

from nova_cellmap import conf
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.conductor import service
from nova_cellmap.tests import fixtures as our_fixtures
from nova_cellmap.tests.functional import base

# What a conductor of small pages answers at most at once.
PAGE = 3


def client_conf(topic: str | None = None) -> cfg.ConfigOpts:
    """The configuration of a client of the conductor on that topic, where there is one."""
    made = conf.new(args=[], config_files=[])
    url = our_fixtures._server_url('rabbitmq')
    made.set_override('transport_url', url)
    made.set_override('topic', topic or f'conductor-{uuid.uuid4().hex}', group='conductor')
    # Of a conductor with that configuration; a client is not asked.
    made.set_override('cells', 'full', group='conductor')
    made.set_override('cells_writable', True, group='conductor')
    return made


class Here(fixtures.Fixture):
    """A conductor in this process: a test can change what is behind it.

    It works on the database that the process is bound to.

    :ivar conf: the configuration of a client of it
    :ivar caller: what calls it
    """

    def _setUp(self) -> None:
        self.conf = client_conf()
        self.server = service.server(self.conf)
        self.server.start()
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.stop)
        self.caller = conductor_caller.Caller(self.conf)
        self.addCleanup(self.caller.close)


class Logged(fixtures.FakeLogger):
    """What this process logs that somebody should look at."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING, format='%(levelname)s %(name)s %(message)s')

    def _setUp(self) -> None:
        super()._setUp()
        # A test before this one may have ended its broker; what was connected to that one goes
        # on looking for it a while.
        drivers = logging.getLogger('oslo.messaging._drivers')
        self.addCleanup(setattr, drivers, 'propagate', drivers.propagate)
        drivers.propagate = False


class Recorder:
    """Calls what it is given to, and keeps what was called."""

    def __init__(self, caller: Any) -> None:
        self.caller = caller
        self.calls: list[dict[str, Any]] = []

    def __call__(self, context: Any, name: str, **arguments: Any) -> Any:
        self.calls.append(arguments)
        return self.caller(context, name, **arguments)


_here: list[Here] = []
_small_pages: list[our_fixtures.Conductor] = []


def here() -> Here:
    """One for all tests of the process."""
    if not _here:
        _here.append(_made(Here()))
    return _here[0]


def of_small_pages() -> our_fixtures.Conductor:
    """One on SQLite, in a process of its own, for all tests of this process."""
    if not _small_pages:
        options = {'conductor': {'page_size': PAGE}}
        _small_pages.append(_made(our_fixtures.Conductor(base._database('sqlite'), options)))
    return _small_pages[0]


def _made(fixture: Any) -> Any:
    fixture.setUp()
    atexit.register(fixture.cleanUp)
    return fixture
