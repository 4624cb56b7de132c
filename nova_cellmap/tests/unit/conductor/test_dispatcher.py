# SPDX-License-Identifier: Apache-2.0
"""What of a failure that nobody foresaw reaches the caller."""

import types
from typing import Any

import fixtures
import oslo_messaging

from nova_cellmap import exception
from nova_cellmap.conductor import dispatcher
from nova_cellmap.conductor import rpc
from nova_cellmap.tests import base


class _Failing:
    target = oslo_messaging.Target(namespace=rpc.NAMESPACE, version=rpc.VERSION)

    @oslo_messaging.expose  # type: ignore[untyped-decorator]
    def ping(self, context: Any) -> None:
        raise RuntimeError('deep down')


class Unforeseen(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.logged = self.useFixture(fixtures.FakeLogger())
        self.dispatcher = dispatcher.Dispatcher(
            _Failing(), oslo_messaging.NoOpSerializer(), page_size=10
        )

    def told(self, **context: Any) -> str:
        """Under which request the log tells more, as the caller is told."""
        message = {'method': 'ping', 'namespace': rpc.NAMESPACE, 'version': rpc.VERSION}
        incoming = types.SimpleNamespace(
            ctxt=context, message={**message, 'args': {}}, client_timeout=None
        )
        expected = self.assertRaises(
            oslo_messaging.ExpectedException, self.dispatcher.dispatch, incoming
        )
        error = expected.exc_info[1]
        self.assertIsInstance(error, exception.ConductorError)
        request_id: str = error.kwargs['request_id']
        self.assertIn(f'under request {request_id}', str(error))
        self.assertIn(f'under request {request_id}', self.logged.output)
        return request_id

    def test_the_request_is_the_callers(self) -> None:
        self.assertEqual('req-1', self.told(request_id='req-1'))

    def test_a_request_without_a_name_is_given_one(self) -> None:
        contexts: list[dict[str, Any]] = [{}, {'request_id': None}, {'request_id': ''}]
        for context in contexts:
            self.assertRegex(self.told(**context), '^req-[0-9a-f-]{36}$')
