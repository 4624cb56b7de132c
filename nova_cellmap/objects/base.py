# SPDX-License-Identifier: Apache-2.0
"""What all objects share; nothing about cells.

oslo.versionedobjects keeps one registry for the whole process, keyed by
``obj_name()``: two classes of one name and version replace each other there, also
where they are Nova's ``InstanceMapping`` and ours. So the names of ours, in the
registry and on the wire, say whose they are: ``nova_cellmap.InstanceMapping``.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
import datetime
import functools
from typing import Any, Self, TypeVar

from oslo_versionedobjects import base
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import context as contexts
from nova_cellmap import exception
from nova_cellmap import runtime as runtimes
from nova_cellmap import text
from nova_cellmap.context import RequestContext
from nova_cellmap.objects import fields
from nova_cellmap.objects import primitives
from nova_cellmap.objects import storage

NAMESPACE = 'nova_cellmap'

remotable = base.remotable
OrphanedObjectError = library_exception.OrphanedObjectError

_Member = TypeVar('_Member', bound=base.VersionedObject)


class TimestampedObject(base.TimestampedObject):
    """An object whose row tells when it was made and last changed."""

    fields = {
        'created_at': fields.DateTimeField(nullable=True),
        'updated_at': fields.DateTimeField(nullable=True),
    }


class VersionedObjectRegistry(base.VersionedObjectRegistry):
    """The library's registry. Its name is what the library's mypy plugin looks for."""


def registered() -> dict[str, list[type[base.VersionedObject]]]:
    """The classes of nova_cellmap in the library's registry, the newest of a name first."""
    return {
        name: classes
        for name, classes in VersionedObjectRegistry.obj_classes().items()
        if name.startswith(f'{NAMESPACE}.')
    }


class CellMapObject(primitives.Convertible):
    """The base of every object of nova_cellmap."""

    OBJ_SERIAL_NAMESPACE = 'nova_cellmap_object'
    OBJ_PROJECT_NAMESPACE = NAMESPACE

    @classmethod
    def obj_name(cls) -> str:
        return f'{NAMESPACE}.{cls.__name__}'

    @property
    def runtime(self) -> runtimes.Runtime:
        """That of its context.

        :raises: NotConfigured
        """
        return runtimes.of(self.obj_context)

    @classmethod
    def _loaded(cls, context: RequestContext, values: Mapping[str, Any]) -> Self:
        """The object, unchanged, of valid values of its fields, such as a row has."""
        self = storage.new(cls, context)
        storage.fill(self, values)
        return self

    def _refresh(self, other: Self) -> None:
        """Hold what *other* holds, unchanged."""
        storage.take_over(self, other)

    def _changes_for(self, action: str, writable: Set[str]) -> dict[str, Any]:
        """The changed fields and their values.

        What was stored before can still be read: text is looked at here, on its way in.

        :raises: ObjectActionError where one of them is not for the caller to write; InvalidInput
            where text holds a control character or its like
        """
        changes = {name: storage.value(self, name) for name in self.obj_what_changed()}
        refused = changes.keys() - writable
        if refused:
            names = ', '.join(sorted(refused))
            raise exception.ObjectActionError(
                action=action, reason=f'{names} cannot be set: the database does that'
            )
        for name, value in changes.items():
            if type(value) is str and not value.isprintable():
                _check_text(name, value)
        return changes

    def _require(self, action: str, names: Iterable[str]) -> None:
        """:raises: ObjectActionError where one of the fields is not set."""
        missing = [name for name in names if not storage.is_set(self, name)]
        if missing:
            raise exception.ObjectActionError(
                action=action, reason=f'{", ".join(missing)} must be set first'
            )

    def obj_load_attr(self, attrname: str) -> None:
        raise exception.ObjectActionError(
            action='obj_load_attr',
            reason=f'{attrname} of this {self.__class__.__name__} is not set and cannot be loaded',
        )


class CellMapObjectList(base.ObjectListBase[_Member], CellMapObject):
    """The base of the lists of them."""

    @classmethod
    def _of(cls, context: RequestContext, members: Sequence[_Member]) -> Self:
        """The list, unchanged, of these members, none of which is looked at."""
        self = cls(context)
        # The list's own would ask of each member whether it is one.
        list.extend(self.objects, members)
        return self


def _check_text(name: str, value: str) -> None:
    """:raises: InvalidInput"""
    odd = text.odd_character(value)
    if odd is not None:
        raise exception.InvalidInput(
            reason=f'{name} holds the character {odd}, which would change how a terminal or a '
            'log shows what is around it'
        )


class CellMapObjectSerializer(base.VersionedObjectSerializer):
    """Lets objects and contexts be arguments and results of any RPC, also within lists and dicts.

    Give it to oslo.messaging's clients and servers.

    :param runtime: what the contexts that come work with; None: the default
    """

    OBJ_BASE_CLASS = CellMapObject

    def __init__(self, runtime: runtimes.Runtime | None = None) -> None:
        self._runtime = runtime

    def serialize_context(self, context: RequestContext) -> dict[str, Any]:
        return contexts.copy_of(context).to_dict()

    def deserialize_context(self, context: dict[str, Any]) -> RequestContext:
        return RequestContext.from_dict(context, runtime=self._runtime)


@functools.lru_cache(maxsize=fields.TIMES)
def as_utc(time: datetime.datetime | None) -> datetime.datetime | None:
    """The aware time that a field holds for the naive one of a row."""
    if not isinstance(time, datetime.datetime):
        # MariaDB's 0000-00-00 is text to PyMySQL.
        return None
    # Eight times as fast as time.replace(tzinfo=...).
    return datetime.datetime.combine(time.date(), time.time(), datetime.UTC)
