# SPDX-License-Identifier: Apache-2.0
"""The near side of the remotable methods.

::

    from nova_cellmap.conductor import rpcapi
    rpcapi.use_conductor(conf)

From there on every remotable method goes over RPC.
"""

from collections.abc import Callable
import inspect
from typing import Any

from oslo_config import cfg
from oslo_versionedobjects import base as library

from nova_cellmap import exception
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.context import RequestContext
from nova_cellmap.objects import arguments as objects_arguments
from nova_cellmap.objects import base
from nova_cellmap.objects import remote


def use_conductor(conf: cfg.ConfigOpts, wait: float = 0) -> None:
    """Send every remotable method to the conductor from here on.

    :param conf: ``[DEFAULT] transport_url`` says where, ``rpc_response_timeout`` for how long
        an answer is waited for, ``[conductor] page_size`` how much is asked for at once
    :param wait: for so many seconds wait for a conductor that answers
    :raises: oslo_messaging.MessagingTimeout where none did; BrokerRefused where the message
        queue does not let us in; InvalidURL, InvalidOption
    """
    use_database()
    caller = conductor_caller.Caller(conf)
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

        method = getattr(base.registered()[objname][0], objmethod)
        arguments = inspect.signature(method).bind(context, *args, **kwargs).arguments
        del arguments['context']
        chunks, marker = remote.chunks_of(method), remote.marker_of(method)
        if chunks is not None:
            return self._in_chunks(call, arguments, chunks, marker)
        if marker is not None:
            return self._in_pages(call, arguments, marker)
        return call(arguments)

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

    def _in_pages(self, call: Callable[..., Any], arguments: dict[str, Any], place: str) -> Any:
        """Call for one page after the other, and answer them as one list.

        :param place: the field of a member that is the marker of what follows it
        """
        limit, marker = arguments.get('limit'), arguments.get('marker')
        if type(limit) not in (int, type(None)):
            # The conductor says what is wrong with it.
            return call(arguments)
        members: list[Any] = []
        back = 1
        while True:
            size = self._page_size if limit is None else min(self._page_size, limit - len(members))
            behind = getattr(members[-1], place) if members else marker
            try:
                page = call({**arguments, 'limit': size, 'marker': behind})
            except exception.PageTooLarge as error:
                self._learn(error)
                continue
            except exception.MarkerNotFound:
                if not members:
                    raise
                # It has been removed since its page came: go on behind one before it.
                del members[-back:]
                back *= 2
                continue
            members += page.objects
            if len(page) < size or len(members) == limit:
                return page if len(page) == len(members) else remote.list_like(page, members)

    def _in_chunks(
        self,
        call: Callable[..., Any],
        arguments: dict[str, Any],
        chunks: remote.Chunks,
        place: str | None,
    ) -> Any:
        """Call with some of the things at a time, and merge the answers.

        :param place: as for :meth:`_in_pages`; None where the answer is no list
        """
        limit, marker = arguments.pop('limit', None), arguments.pop('marker', None)
        if limit is not None and (type(limit) is not int or limit < 0):
            # The conductor says what is wrong with it.
            return call({**arguments, chunks.by: [], 'limit': limit})
        # Each once: what two chunks held would count twice.
        things = list(dict.fromkeys(chunks.check(chunks.by, arguments[chunks.by])))
        results: list[Any] = []
        done = 0
        while done < len(things) or not results:
            chunk = things[done : done + self._page_size]
            try:
                results.append(call({**arguments, chunks.by: chunk}))
            except exception.PageTooLarge as error:
                # Nothing of this chunk has been done, and those before it are not done twice.
                self._learn(error)
                continue
            done += len(chunk)
        merged = chunks.merge(results)
        if place is None or limit is marker is None:
            return merged
        return _page_of(merged, limit, marker, place)


def _page_of(whole: Any, limit: int | None, marker: str | None, place: str) -> Any:
    start = 0
    behind = objects_arguments.optional_uuid('marker', marker)
    if behind is not None:
        places = [getattr(member, place) for member in whole]
        if behind not in places:
            raise exception.MarkerNotFound(marker=behind)
        start = places.index(behind) + 1
    return whole[start : None if limit is None else start + limit]
