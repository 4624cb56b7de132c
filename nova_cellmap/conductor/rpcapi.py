# SPDX-License-Identifier: Apache-2.0
"""The near side of the remotable methods.

::

    from nova_cellmap.conductor import rpcapi
    rpcapi.use_conductor(conf)

From there on every remotable method goes over RPC.
"""

from collections.abc import Callable
import contextlib
import inspect
import math
import threading
import time
from typing import Any

from oslo_config import cfg
import oslo_messaging
from oslo_versionedobjects import base as library
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import exception
from nova_cellmap.conductor import rpc
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import base
from nova_cellmap.objects import fields

# How long the first and the last pings wait for their answers, while the conductor is
# waited for. One that is sent before it listens gets none.
_FIRST_PING_SECONDS = 1
_LAST_PING_SECONDS = 5
# How long a message queue that does not answer can hold up the end.
_CLOSING_SECONDS = 2


def use_conductor(conf: cfg.ConfigOpts, wait: float = 0) -> None:
    """Send every remotable method to the conductor from here on.

    :param conf: ``[DEFAULT] transport_url`` says where, ``rpc_response_timeout`` for how long
        an answer is waited for, ``[conductor] page_size`` how much is asked for at once
    :param wait: for so many seconds wait for a conductor that answers
    :raises: oslo_messaging.MessagingTimeout where none did
    """
    use_database()
    caller = Caller(conf)
    if wait:
        try:
            caller.wait(wait)
        except BaseException:
            caller.close()
            raise
    base.CellMapObject.indirection_api = ConductorAPI(caller, conf.conductor.page_size)


def use_database() -> None:
    """Run every remotable method in this process from here on."""
    api = base.CellMapObject.indirection_api
    base.CellMapObject.indirection_api = None
    if isinstance(api, ConductorAPI):
        api.caller.close()


class Caller:
    """Calls a method of the conductor and waits for its answer.

    An answer that does not come in time raises oslo_messaging.MessagingTimeout, also where it
    is the message queue that does not answer; the exceptions of nova_cellmap arrive as
    themselves.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._topic = conf.conductor.topic
        self._transport = rpc.transport(conf)
        self._client = oslo_messaging.get_rpc_client(
            self._transport, rpc.target(conf), serializer=base.CellMapObjectSerializer()
        )
        self._timeout = conf.rpc_response_timeout
        self._queue = _Background(self._reach_queue)

    def close(self) -> None:
        # It waits for connections that look for a lost message queue, and they never stop.
        _Background(self._transport.cleanup).done(_CLOSING_SECONDS)

    def wait(self, seconds: float) -> None:
        """Return as soon as a conductor answers.

        :raises: oslo_messaging.MessagingTimeout where none did within *seconds*
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

    def __call__(self, context: RequestContext, name: str, **arguments: Any) -> Any:
        try:
            return self._call(context, name, self._timeout, arguments)
        except oslo_messaging.MessagingTimeout as error:
            called = f'{_named(arguments)}.{arguments.get("objmethod", name)}'
            raise self._no_answer(called, self._timeout, error) from None
        except (exception.CellMapError, library_exception.VersionedObjectsException) as error:
            raise _as_itself(error) from None

    def _call(
        self, context: RequestContext, name: str, timeout: float, arguments: dict[str, Any]
    ) -> Any:
        end = time.monotonic() + timeout
        if not self._queue.done(timeout):
            raise oslo_messaging.MessagingTimeout('the message queue cannot be reached')
        left = max(0.001, end - time.monotonic())
        try:
            client = self._client.prepare(timeout=left, retry=_tries_within(left))
            return client.call(context, name, **arguments)
        except oslo_messaging.MessageDeliveryFailure as error:
            raise oslo_messaging.MessagingTimeout(str(error)) from None

    def _reach_queue(self) -> None:
        """Have oslo.messaging make the queue for the answers.

        The first call of a transport does, and looks for the message queue without end
        whatever its own timeout.
        """
        # Whether a conductor is there as well, the call that waits finds out.
        with contextlib.suppress(oslo_messaging.MessagingException):
            self._client.prepare(timeout=1, retry=0).call(get_admin_context(), 'ping')

    def _no_answer(self, called: str, seconds: float, error: Exception) -> Exception:
        timeout: Exception = oslo_messaging.MessagingTimeout(
            f'No answer to {called} within {seconds:g} s: '
            f'does nova-cellmap-conductor run, on topic {self._topic}? ({error})'
        )
        return timeout


class _Background:
    """What may take without end, done once, in a thread of its own."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def done(self, seconds: float) -> bool:
        """Whether it has been done after at most that time; the first to ask begins it."""
        if self._done.is_set():
            return True
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        return self._done.wait(seconds)

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._done.set()


def _tries_within(seconds: float) -> int:
    """How often to look for a lost message queue in that time, after the first.

    oslo.messaging waits 1, 3, 5, ... seconds between, and one more each time.
    """
    return int((math.sqrt(1 + 4 * seconds) - 1) / 2)


class ConductorAPI(library.VersionedObjectIndirectionAPI):
    """What the library asks for instead of running a remotable method.

    :param caller: how the conductor's methods are called
    :param page_size: how many objects are asked for at once
    """

    def __init__(self, caller: Any, page_size: int) -> None:
        self.caller = caller
        self._page_size = page_size

    def object_class_action_versions(
        self,
        context: RequestContext,
        objname: str,
        objmethod: str,
        object_versions: dict[str, str],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        def call(arguments: dict[str, Any]) -> Any:
            return self.caller(
                context,
                'object_class_action_versions',
                objname=objname,
                objmethod=objmethod,
                object_versions=object_versions,
                args=[],
                kwargs=arguments,
            )

        signature = inspect.signature(getattr(base.registered()[objname][0], objmethod))
        arguments = signature.bind(context, *args, **kwargs).arguments
        del arguments['context']
        if objmethod in _CHUNKED:
            name = _CHUNKED[objmethod][0]
            # Each once, however it is spelled: what two chunks held would count twice.
            arguments[name] = list(dict.fromkeys(map(_spelled_alike, arguments[name])))
        while True:
            try:
                return self._class_action(call, objmethod, signature, dict(arguments))
            except exception.PageTooLarge as error:
                # Only reading begins from the start.
                self._learn(error)

    def object_action(
        self,
        context: RequestContext,
        objinst: Any,
        objmethod: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        return self.caller(
            context,
            'object_action',
            objinst=objinst,
            objmethod=objmethod,
            args=args,
            kwargs=kwargs,
        )

    def object_backport_versions(
        self, context: RequestContext, objinst: Any, object_versions: dict[str, str]
    ) -> Any:
        return self.caller(
            context, 'object_backport_versions', objinst=objinst, object_versions=object_versions
        )

    def _learn(self, error: exception.PageTooLarge) -> None:
        """Ask for no more than the conductor's pages from here on, where they are smaller."""
        if error.kwargs['limit'] >= self._page_size:
            raise error
        self._page_size = error.kwargs['limit']

    def _class_action(
        self,
        call: Callable[..., Any],
        objmethod: str,
        signature: inspect.Signature,
        arguments: dict[str, Any],
    ) -> Any:
        if objmethod in _CHUNKED:
            return self._in_chunks(call, arguments, *_CHUNKED[objmethod])
        if 'marker' in signature.parameters and type(arguments.get('limit')) in (int, type(None)):
            return self._in_pages(call, arguments)
        return call(arguments)

    def _in_pages(self, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Call for a page after the other, and answer them as one list."""
        limit, marker = arguments.get('limit'), arguments.get('marker')
        page: Any = None
        members: list[Any] = []
        back = 1
        while True:
            size = self._page_size if limit is None else min(self._page_size, limit - len(members))
            behind = getattr(members[-1], page.MARKER) if members else marker
            try:
                page = call({**arguments, 'limit': size, 'marker': behind})
            except exception.MarkerNotFound:
                if not members:
                    raise
                # It has been removed since its page came: go on behind one before it.
                del members[-back:]
                back *= 2
                continue
            members += page.objects
            if len(page) < size or len(members) == limit:
                return page if len(page) == len(members) else _list_like(page, members)

    def _in_chunks(
        self,
        call: Callable[..., Any],
        arguments: dict[str, Any],
        name: str,
        merge: Callable[[list[Any]], Any],
    ) -> Any:
        """Call with so many of the items in argument *name* at a time."""
        limit, marker = arguments.pop('limit', None), arguments.pop('marker', None)
        if limit is not None and (type(limit) is not int or limit < 0):
            # The conductor tells what is wrong with it.
            return call({**arguments, name: [], 'limit': limit})
        items = arguments[name]
        results: list[Any] = []
        done = 0
        while done < len(items) or not results:
            chunk = items[done : done + self._page_size]
            try:
                results.append(call({**arguments, name: chunk}))
            except exception.PageTooLarge as error:
                # Nothing of this chunk has been done, and those before it are not done twice.
                self._learn(error)
                continue
            done += len(chunk)
        merged = merge(results)
        return merged if limit is marker is None else _page_of(merged, limit, marker)


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


def _joined(lists: list[Any]) -> Any:
    """The members of several lists in one, in the order of their creation."""
    return _list_like(lists[0], [member for each in lists for member in each])


def _list_like(one: Any, members: list[Any]) -> Any:
    whole = type(one)(one._context, objects=sorted(members, key=lambda each: each.id))
    whole.obj_reset_changes()
    return whole


def _page_of(whole: Any, limit: int | None, marker: str | None) -> Any:
    start = 0
    if marker is not None:
        places = [getattr(member, whole.MARKER) for member in whole]
        if _spelled_alike(marker) not in places:
            raise exception.MarkerNotFound(marker=marker)
        start = places.index(_spelled_alike(marker)) + 1
    return whole[start : None if limit is None else start + limit]


def _summed(results: list[Any]) -> db_api.BulkResult:
    """What create_bulk answered for each chunk, added up."""
    total = db_api.BulkResult(created=0, existing=0, conflicts={})
    for result in results:
        total['created'] += result['created']
        total['existing'] += result['existing']
        total['conflicts'].update(result['conflicts'])
        if 'ids' in result:
            total.setdefault('ids', {}).update(result['ids'])
    return total


def _spelled_alike(item: Any) -> Any:
    return fields.canonical_uuid(item) if isinstance(item, str) else item


# The methods that take any number of things: the name of that argument, and how the
# answers for each part of it become one.
_CHUNKED: dict[str, tuple[str, Callable[[list[Any]], Any]]] = {
    'get_by_instance_uuids': ('uuids', _joined),
    'get_count_by_uuids_and_user': ('uuids', sum),
    'create_bulk': ('mappings', _summed),
    'destroy_bulk': ('instance_uuids', sum),
}
