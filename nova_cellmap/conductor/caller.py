# SPDX-License-Identifier: Apache-2.0
"""One call of the conductor: sent, answered, and never waited for longer than it may take."""

import contextlib
import threading
import time
from typing import Any

from oslo_config import cfg
import oslo_messaging
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import exception
from nova_cellmap import rpc as messaging
from nova_cellmap.conductor import helpers
from nova_cellmap.conductor import rpc
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.objects import base

# How long the first and the last pings wait for their answers, while the conductor is
# waited for. One that is sent before it listens gets none.
_FIRST_PING_SECONDS = 1
_LAST_PING_SECONDS = 5
# How long a message queue that does not answer can hold up the end.
_CLOSING_SECONDS = 2
# How long to wait before a message queue that was not there is tried again.
_PAUSE_SECONDS = 0.5
# oslo.messaging has so long to say itself that there is no answer.
_GRACE_SECONDS = 0.5
# So many calls at once, those included that nobody waits for any more.
_MOST_CALLS = 256


class Caller:
    """Calls a method of the conductor and waits for its answer.

    An answer that does not come in time raises oslo_messaging.MessagingTimeout, also where it
    is the message queue that does not answer; a message queue that lets nobody in raises
    BrokerRefused; the exceptions of nova_cellmap arrive as themselves.

    :raises: InvalidURL, InvalidOption
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._topic = conf.conductor.topic
        self._url = conf.transport_url
        self._transport = rpc.transport(conf)
        self._client = oslo_messaging.get_rpc_client(
            self._transport, rpc.target(conf), serializer=base.CellMapObjectSerializer()
        )
        self._timeout = conf.rpc_response_timeout
        self._helpers = helpers.Helpers(_MOST_CALLS)
        self._queue = _Queue(self._client, self._url)

    def close(self) -> None:
        """Leave the message queue."""
        self._queue.close()
        # It waits for connections that look for a lost message queue, and they never stop.
        with contextlib.suppress(TimeoutError):
            self._helpers.run(self._transport.cleanup, _CLOSING_SECONDS)

    def wait(self, seconds: float) -> None:
        """Return as soon as a conductor answers.

        :raises: oslo_messaging.MessagingTimeout where none did within *seconds*; BrokerRefused
        """
        end = time.monotonic() + seconds
        patience = _FIRST_PING_SECONDS
        while True:
            left = end - time.monotonic()
            try:
                self._call(get_admin_context(), 'ping', max(1, min(left, patience)), {})
                return
            except oslo_messaging.MessagingTimeout as error:
                if left <= patience:
                    raise self._no_answer('conductor.ping', seconds, error) from None
                patience = min(2 * patience, _LAST_PING_SECONDS)

    def ping(self, seconds: float, server: str | None = None) -> None:
        """Have a conductor answer: any, or the worker of that name.

        :raises: oslo_messaging.MessagingTimeout where it did not within *seconds*; BrokerRefused
        """
        self._call(get_admin_context(), 'ping', seconds, {}, server)

    def __call__(self, context: RequestContext, name: str, **arguments: Any) -> Any:
        try:
            return self._call(context, name, self._timeout, arguments)
        except oslo_messaging.MessagingTimeout as error:
            called = f'{_named(arguments)}.{arguments.get("objmethod", name)}'
            raise self._no_answer(called, self._timeout, error) from None
        except (exception.CellMapError, library_exception.VersionedObjectsException) as error:
            raise _as_itself(error) from None

    def _call(
        self,
        context: RequestContext,
        name: str,
        timeout: float,
        arguments: dict[str, Any],
        server: str | None = None,
    ) -> Any:
        end = time.monotonic() + timeout
        while True:
            self._queue.reach(end - time.monotonic())
            left = max(0.001, end - time.monotonic())
            sending = _Sending(end)
            # One more try is for connections that were lost since the last call.
            client = self._client.prepare(
                server=server, timeout=left, retry=1, transport_options=sending
            )
            try:
                return self._helpers.run(
                    lambda: client.call(context, name, **arguments),  # noqa: B023
                    left + _GRACE_SECONDS,
                )
            except TimeoutError as error:
                self._queue.lose()
                raise oslo_messaging.MessagingTimeout(str(error)) from None
            except oslo_messaging.MessagingTimeout:
                raise
            except _LOST as error:
                self._queue.lose()
                if refused := messaging.refusal(error, self._url):
                    raise refused from None
                if sending.has_begun and not _only_reads(name, arguments):
                    raise oslo_messaging.MessagingTimeout(
                        f'the message queue was lost meanwhile: {error}'
                    ) from None

    def _no_answer(self, called: str, seconds: float, error: Exception) -> Exception:
        timeout: Exception = oslo_messaging.MessagingTimeout(
            f'No answer to {called} within {seconds:g} s: '
            f'does nova-cellmap-conductor run, on topic {self._topic}? ({error})'
        )
        return timeout


def _kombu_errors() -> tuple[type[Exception], ...]:
    from amqp import exceptions as amqp  # type: ignore[import-untyped]
    from kombu import exceptions as kombu

    return (amqp.AMQPError, kombu.KombuError)


# What comes out of a call where the message queue is lost or refuses.
_LOST = (oslo_messaging.MessageDeliveryFailure, OSError, *_kombu_errors())


class _Sending(oslo_messaging.TransportOptions):  # type: ignore[misc]
    """Is asked right before a call is sent: one that nobody waits for any more is not.

    :ivar has_begun: whether it may have been sent
    """

    def __init__(self, end: float) -> None:
        super().__init__()
        self._end = end
        self.has_begun = False

    @property
    def at_least_once(self) -> bool:
        if time.monotonic() > self._end:
            raise TimeoutError('the caller waits no longer')
        self.has_begun = True
        return False


class _Queue:
    """Whether the message queue can be reached. One thread looks, while calls wait."""

    def __init__(self, client: Any, url: str | None) -> None:
        self._client = client
        self._url = url
        self._changed = threading.Condition()
        self._is_reached = False
        self._is_closed = False
        self._error: Exception | None = None
        self._seeker: threading.Thread | None = None
        self._wanted_until = 0.0

    def reach(self, seconds: float) -> None:
        """Return as soon as it is reached.

        :raises: oslo_messaging.MessagingTimeout where it is not within that time; BrokerRefused
        """
        if self._is_reached:
            return
        with self._changed:
            self._wanted_until = max(self._wanted_until, time.monotonic() + seconds)
            if self._seeker is None:
                self._error = None
                self._seeker = threading.Thread(
                    target=self._seek, name='nova-cellmap-queue', daemon=True
                )
                self._seeker.start()
            seeker = self._seeker
            self._changed.wait_for(
                lambda: self._is_reached or self._seeker is not seeker, max(0, seconds)
            )
            if self._is_reached:
                return
            error = self._error
        if isinstance(error, exception.BrokerRefused):
            raise exception.BrokerRefused(**error.kwargs)
        raise oslo_messaging.MessagingTimeout(
            f'the message queue cannot be reached: {error or "it does not answer"}'
        )

    def lose(self) -> None:
        """Look for it before the next call is sent."""
        self._is_reached = False

    def close(self) -> None:
        self._is_closed = True

    def _seek(self) -> None:
        while not self._is_closed and time.monotonic() < self._wanted_until + _PAUSE_SECONDS:
            if self._try():
                break
            time.sleep(_PAUSE_SECONDS)
        with self._changed:
            self._seeker = None
            self._changed.notify_all()

    def _try(self) -> bool:
        """Whether to look no further."""
        try:
            # The first is sent without more, and so tells what is wrong. Then there has to be a
            # queue for answers, which oslo.messaging looks for without end; whether a conductor
            # answers as well, the call that waits finds out.
            self._client.prepare(retry=1).cast(get_admin_context(), 'ping')
            self._client.prepare(timeout=1, retry=1).call(get_admin_context(), 'ping')
        except oslo_messaging.MessagingTimeout:
            pass
        except Exception as error:
            self._error = messaging.refusal(error, self._url) or error
            return isinstance(self._error, exception.BrokerRefused)
        self._is_reached = True
        return True


def _only_reads(name: str, arguments: dict[str, Any]) -> bool:
    method = arguments.get('objmethod', name)
    return method.startswith('get_') or name in ('ping', 'object_backport_versions')


def _named(arguments: dict[str, Any]) -> Any:
    """Which object a call is about."""
    obj = arguments.get('objinst')
    if isinstance(obj, base.CellMapObject):
        return obj.obj_name()
    if isinstance(obj, dict):
        # As it came, of a version that is not known here.
        return obj.get(f'{base.CellMapObject.OBJ_SERIAL_NAMESPACE}.name')
    return arguments.get('objname', 'conductor')


def _as_itself(error: Any) -> Any:
    """The exception as it was raised; oslo.messaging's copy carries a traceback as its text."""
    for cls in type(error).__mro__:
        if cls.__module__ in (exception.__name__, library_exception.__name__):
            return cls(*error.args, **error.kwargs)
    return error
