# SPDX-License-Identifier: Apache-2.0
"""What a remotable method declares for those who call it over RPC.

A conductor takes and answers no more than a page at once. What takes any number of things, or
answers any number of objects, is called for a part after the other, and says here how::

    @classmethod
    @remote.chunked(by='uuids', check=arguments.uuids, merge=remote.joined)
    @remote.paged(marker='uuid')
    @base.remotable
    def get_by_uuids(cls, context, uuids, limit=None, marker=None): ...
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from nova_cellmap.db import api as db_api

_Method = TypeVar('_Method', bound=Callable[..., Any])
_CHUNKS = 'remote_chunks'
_MARKER = 'remote_marker'


class Chunks(NamedTuple):
    """How a method that takes any number of things is called with some of them at a time.

    :ivar by: the name of the argument that has them
    :ivar check: called with its name and value, answers them as the method itself takes them
    :ivar merge: makes one answer of those for each chunk, of which there is at least one
    """

    by: str
    check: Callable[[str, Any], Iterable[Any]]
    merge: Callable[[list[Any]], Any]


def chunked(
    by: str,
    check: Callable[[str, Any], Iterable[Any]],
    merge: Callable[[list[Any]], Any],
) -> Callable[[_Method], _Method]:
    """The method takes any number of things in argument *by*; see :class:`Chunks`.

    Each chunk is a transaction of its own. A *limit* and *marker* of the method are applied to the
    merged answer.
    """

    def declare(method: _Method) -> _Method:
        setattr(method, _CHUNKS, Chunks(by, check, merge))
        return method

    return declare


def paged(marker: str) -> Callable[[_Method], _Method]:
    """The method answers a list and takes *limit* and *marker*.

    :param marker: the field of a member that a caller gives as the marker of the next page
    """

    def declare(method: _Method) -> _Method:
        setattr(method, _MARKER, marker)
        return method

    return declare


def chunks_of(method: Callable[..., Any]) -> Chunks | None:
    """What :func:`chunked` was told of a method; None where it is not chunked."""
    return getattr(method, _CHUNKS, None)


def marker_of(method: Callable[..., Any]) -> str | None:
    """What :func:`paged` was told of a method; None where it is not paged."""
    return getattr(method, _MARKER, None)


def joined(lists: list[Any]) -> Any:
    """The members of several lists in one, in the order of their creation."""
    return list_like(lists[0], [member for each in lists for member in each])


def list_like(one: Any, members: list[Any]) -> Any:
    """A list like another, but with these members, in the order of their creation."""
    whole = type(one)(one.obj_context, objects=sorted(members, key=lambda each: each.id))
    whole.obj_reset_changes()
    return whole


def added_up(results: list[db_api.BulkResult]) -> db_api.BulkResult:
    """The results of several bulk writes as that of one."""
    total = db_api.BulkResult(created=0, existing=0, conflicts={})
    for result in results:
        total['created'] += result['created']
        total['existing'] += result['existing']
        total['conflicts'].update(result['conflicts'])
        if 'ids' in result:
            total.setdefault('ids', {}).update(result['ids'])
    return total
