# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's own question whether a server answers."""

import types
from typing import Any

import fixtures
import oslo_messaging

from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap.conductor import dispatcher
from nova_cellmap.conductor import ping
from nova_cellmap.tests import base


class _Endpoint:
    target = oslo_messaging.Target(namespace='nova_cellmap', version='1.0')


def _asked(*, answers_pings: bool, context: dict[str, Any] | None = None, **more: Any) -> Any:
    """What a dispatcher answers to a ping."""
    made = dispatcher.Dispatcher(
        _Endpoint(), oslo_messaging.NoOpSerializer(), 10, answers_pings=answers_pings
    )
    message = {'method': ping.METHOD, 'args': {}, **more}
    incoming = types.SimpleNamespace(message=message, ctxt=context or {}, client_timeout=None)
    try:
        return made.dispatch(incoming)
    except oslo_messaging.ExpectedException as expected:
        raise expected.exc_info[1] from None


class Ping(base.TestCase):
    def test_it_is_answered_where_that_is_set(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())
        self.assertEqual('pong', _asked(answers_pings=True))
        self.assertEqual('pong', _asked(answers_pings=True, version='1.0', namespace=None))
        # Whatever a tool may send along.
        self.assertEqual('pong', _asked(answers_pings=True, args={'anything': 1}))
        self.assertEqual('', logged.output)

    def test_it_is_refused_where_it_is_not(self) -> None:
        self.assertRaises(oslo_messaging.UnsupportedVersion, _asked, answers_pings=False)

    def test_it_opens_nothing_else(self) -> None:
        unknown: list[dict[str, Any]] = [
            {'method': 'ping'},
            {'version': '9' * 9999},
            {'version': []},
            {'args': [1]},
        ]
        for more in unknown:
            self.assertRaises(
                oslo_messaging.RPCDispatcherError, _asked, answers_pings=True, **more
            )
        large: list[dict[str, Any]] = [
            {'args': {'x': 'y' * 9999}},
            {'args': {'x' * 999: 'y'}},
            {'context': {'user': 'x\n'}},
        ]
        for more in large:
            self.assertRaises(exception.RemoteCallRefused, _asked, answers_pings=True, **more)

    def test_the_option_is_oslo_messagings(self) -> None:
        made = conf.new(args=[], config_files=[])
        ping.register_opts(made)
        self.assertIs(False, made.rpc_ping_enabled)
        ping.register_opts(made)
