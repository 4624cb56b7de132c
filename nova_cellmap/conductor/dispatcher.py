# SPDX-License-Identifier: Apache-2.0
"""Which calls reach the conductor's methods, and what of a failure reaches the caller."""

import inspect
import logging
from typing import Any

from oslo_context import context as oslo_context
import oslo_messaging
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import exception
from nova_cellmap.conductor import bounds
from nova_cellmap.conductor import labels
from nova_cellmap.conductor import logs
from nova_cellmap.conductor import message
from nova_cellmap.conductor import ping
from nova_cellmap.conductor import rpc
from nova_cellmap.conductor.board import Board
from nova_cellmap.conductor.board import Tally

LOG = logging.getLogger(__name__)

# What a caller may cause or must expect: it crosses as itself, and is no fault of ours.
EXPECTED = (
    exception.CellMapError,
    library_exception.VersionedObjectsException,
    oslo_messaging.RPCDispatcherError,
)
# In characters: what of an error crosses.
_MAX_ERROR = 4096

_NOT_PARSED = {
    message.TOO_LONG: f'it is longer than {message.MAX_BODY} bytes: ask in pages',
    message.MALFORMED: 'it is no message of oslo.messaging, or nested too deeply',
}


class Dispatcher(oslo_messaging.RPCDispatcher):  # type: ignore[misc]
    """Takes what is small enough to be looked at, and lets no traceback out.

    :param endpoint: what is called: its exposed methods, with just the arguments they name
    :param page_size: the greatest number of things in one argument
    :param tally: where the calls are counted; by default in one of its own
    :param answers_pings: whether oslo.messaging's own ping is answered too
    """

    def __init__(
        self,
        endpoint: Any,
        serializer: Any,
        page_size: int,
        *,
        tally: Tally | None = None,
        answers_pings: bool = False,
    ) -> None:
        super().__init__([endpoint], serializer, oslo_messaging.ExplicitRPCAccessPolicy)
        if answers_pings:
            # Not before: the library warns of an endpoint with a method of that name.
            self.endpoints.append(ping.Ping())
        self._arguments = _arguments_of(endpoint)
        self._page_size = page_size
        self._tally = tally or Board(1).tallies[0]
        self._answers_pings = answers_pings

    def dispatch(self, incoming: Any) -> Any:
        """Call what a message asks for.

        :raises: oslo_messaging.ExpectedException
        """
        with self._tally.call(labels.method(incoming.message)):
            return self._dispatch(incoming)

    def _dispatch(self, incoming: Any) -> Any:
        asked = incoming.message
        try:
            self._check(asked, incoming.ctxt)
            return super().dispatch(incoming)
        except oslo_messaging.ExpectedException as expected:
            error: BaseException = expected.exc_info[1]
        except EXPECTED as expected_error:
            error = expected_error
        except RecursionError:
            error = exception.RemoteCallRefused(
                what='a method', reason='the arguments are nested too deeply'
            )
        except Exception as unforeseen:
            # A client that does not name its request is told of one that the log has too.
            request = incoming.ctxt.get('request_id') or oslo_context.generate_request_id()
            request_id = logs.shown(request)
            LOG.exception(
                'A remote call of %s failed unforeseen, under request %s',
                logs.shown(_named(asked)),
                request_id,
            )
            error = exception.ConductorError(
                reason=type(unforeseen).__name__, request_id=request_id
            )
        if isinstance(error, _REFUSALS):
            LOG.warning('Refused a remote call: %s', logs.shown(error, _MAX_ERROR))
        raise _crossing(error)

    def _check(self, asked: dict[str, Any], context: dict[str, Any]) -> None:
        """:raises: RemoteCallRefused; PageTooLarge; oslo_messaging.RPCDispatcherError"""
        method, arguments = asked.get('method'), asked.get('args', {})
        if type(method) is str and method in _NOT_PARSED:
            raise exception.RemoteCallRefused(what='a method', reason=_NOT_PARSED[method])
        version = asked.get('version', '1.0')
        if self._answers_pings and _is_ping(asked) and _is_version(version):
            bounds.check_context(context)
            bounds.check_arguments(arguments, self._page_size)
            return
        if asked.get('namespace') != rpc.NAMESPACE or not _is_version(version):
            raise oslo_messaging.UnsupportedVersion(logs.shown(version), logs.shown(method))
        if type(method) is not str or method not in self._arguments:
            raise oslo_messaging.NoSuchMethod(logs.shown(method))
        if type(arguments) is not dict or arguments.keys() != self._arguments[method]:
            wanted = ', '.join(sorted(self._arguments[method])) or 'nothing'
            raise exception.InvalidInput(reason=f'the arguments of {method} are {wanted}')
        bounds.check_context(context)
        bounds.check_arguments(arguments, self._page_size)


_REFUSALS = (exception.RemoteCallRefused, oslo_messaging.RPCDispatcherError)


def _arguments_of(endpoint: Any) -> dict[str, frozenset[str]]:
    return {
        name: frozenset(inspect.signature(method).parameters) - {'context'}
        for name, method in inspect.getmembers(endpoint, inspect.ismethod)
        if hasattr(method, 'exposed')
    }


def _is_ping(asked: dict[str, Any]) -> bool:
    is_plain = asked.get('namespace') is None and type(asked.get('args', {})) is dict
    return is_plain and asked.get('method') == ping.METHOD


def _is_version(version: Any) -> bool:
    return type(version) is str and bounds.VERSION.fullmatch(version) is not None


def _named(asked: dict[str, Any]) -> Any:
    arguments = asked.get('args')
    named = arguments.get('objmethod') if type(arguments) is dict else None
    return named or asked.get('method')


def _crossing(error: BaseException) -> Exception:
    """What oslo.messaging sends, and logs no more of: the error, and not where it came from."""
    error = _bounded(error)
    error.__cause__ = error.__context__ = None
    crossing: Any = oslo_messaging.ExpectedException()
    crossing.exc_info = (type(error), error, None)
    return crossing  # type: ignore[no-any-return]


def _bounded(error: BaseException) -> BaseException:
    text = str(error)
    if len(text) <= _MAX_ERROR:
        return error
    return exception.InvalidInput(reason=f'{text[:_MAX_ERROR]}...')
