# SPDX-License-Identifier: Apache-2.0
"""Every version that an object ever had, as clients of that time have it; and newer ones.

The classes have the fields and the remotable methods of their version and the names that
travel. Nothing of them runs here: their methods are for the conductor.
"""

from typing import Any

import fixtures
from oslo_versionedobjects import base as library
from oslo_versionedobjects import fields as library_fields

from nova_cellmap import objects
from nova_cellmap.objects import base
from nova_cellmap.objects import fields
from nova_cellmap.objects import remote

_CELL = f'{base.NAMESPACE}.CellMapping'
_MAPPING = f'{base.NAMESPACE}.InstanceMapping'


def _remote(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError('the conductor is asked')

    method.__name__ = name
    return base.remotable(method)


def _of_class(name: str) -> Any:
    return classmethod(_remote(name))


class _Object(base.CellMapObject):
    @classmethod
    def obj_name(cls) -> str:
        return f'{base.NAMESPACE}.{cls.__name__.rstrip("0123456789")}'


class CellMapping10(base.TimestampedObject, _Object):
    VERSION = '1.0'
    fields = {
        'id': library_fields.IntegerField(read_only=True),
        'uuid': fields.UUIDField(read_only=True),
        'name': fields.StringField(nullable=True),
        'transport_url': fields.URLField(),
        'database_connection': fields.URLField(),
    }
    get_by_uuid = _of_class('get_by_uuid')
    create = _remote('create')
    save = _remote('save')
    destroy = _remote('destroy')


class CellMapping11(CellMapping10):
    VERSION = '1.1'
    fields = {'disabled': fields.BooleanField(default=False)}


class CellMapping12(CellMapping11):
    VERSION = '1.2'
    get_by_name = _of_class('get_by_name')


class CellMappingList10(library.ObjectListBase[Any], _Object):
    VERSION = '1.0'
    fields = {'objects': library_fields.ListOfObjectsField(_CELL)}
    get_all = _of_class('get_all')


class CellMappingList11(CellMappingList10):
    VERSION = '1.1'
    get_by_disabled = _of_class('get_by_disabled')


class CellMappingList12(CellMappingList11):
    VERSION = '1.2'
    get_by_project_id = _of_class('get_by_project_id')


class CellMappingList13(CellMappingList12):
    """Takes limit and marker."""

    VERSION = '1.3'


class InstanceMapping10(base.TimestampedObject, _Object):
    VERSION = '1.0'
    fields = {
        'id': library_fields.IntegerField(read_only=True),
        'instance_uuid': fields.UUIDField(read_only=True),
        'cell_uuid': fields.UUIDField(),
        'project_id': fields.StringField(),
    }
    get_by_instance_uuid = _of_class('get_by_instance_uuid')
    create = _remote('create')
    save = _remote('save')
    destroy = _remote('destroy')


class InstanceMapping11(InstanceMapping10):
    VERSION = '1.1'
    fields = {'cell_uuid': fields.UUIDField(nullable=True)}


class InstanceMapping12(InstanceMapping11):
    VERSION = '1.2'
    fields = {'queued_for_delete': fields.BooleanField(default=False)}


class InstanceMapping13(InstanceMapping12):
    VERSION = '1.3'
    fields = {'user_id': fields.StringField()}


class InstanceMapping14(InstanceMapping13):
    VERSION = '1.4'
    fields = {'cell_mapping': library_fields.ObjectField(_CELL, nullable=True)}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ('cell_uuid', 'cell_mapping') and self.obj_attr_is_set('cell_mapping'):
            cell: Any = getattr(self, 'cell_mapping')  # noqa: B009 - mypy knows no field here
            uuid = None if cell is None else cell.uuid
            if name == 'cell_mapping':
                self.cell_uuid = uuid
            elif uuid != self.cell_uuid:
                delattr(self, 'cell_mapping')


class InstanceMappingList10(library.ObjectListBase[Any], _Object):
    VERSION = '1.0'
    fields = {'objects': library_fields.ListOfObjectsField(_MAPPING)}
    get_by_project_id = _of_class('get_by_project_id')


class InstanceMappingList11(InstanceMappingList10):
    VERSION = '1.1'
    get_by_cell_uuid = _of_class('get_by_cell_uuid')
    get_by_cell_id = _of_class('get_by_cell_id')


class InstanceMappingList12(InstanceMappingList11):
    VERSION = '1.2'
    get_by_instance_uuids = _of_class('get_by_instance_uuids')
    destroy_bulk = _of_class('destroy_bulk')


class InstanceMappingList13(InstanceMappingList12):
    VERSION = '1.3'
    get_counts = _of_class('get_counts')
    get_count_by_uuids_and_user = _of_class('get_count_by_uuids_and_user')
    get_not_deleted_by_cell_and_project = _of_class('get_not_deleted_by_cell_and_project')


class InstanceMappingList14(InstanceMappingList13):
    """Takes limit and marker."""

    VERSION = '1.4'
    get_all = _of_class('get_all')
    create_bulk = _of_class('create_bulk')


def _after(cls: Any) -> str:
    """The version that comes after that of a class."""
    major, minor = cls.VERSION.split('.')
    return f'{major}.{int(minor) + 1}'


class CellMapping99(_Object, objects.CellMapping):
    """A release from now: with one more field."""

    VERSION = _after(objects.CellMapping)
    fields = {'region': fields.StringField(nullable=True)}


class InstanceMapping99(_Object, objects.InstanceMapping):
    """A release from now: with one more field."""

    VERSION = _after(objects.InstanceMapping)
    fields = {'zone': fields.StringField(nullable=True)}
    obj_relationships = {
        'cell_mapping': [
            *objects.InstanceMapping.obj_relationships['cell_mapping'],
            (VERSION, CellMapping99.VERSION),
        ]
    }


class InstanceMappingList99(_Object, objects.InstanceMappingList):
    """A release from now: with one more method, and one that takes more."""

    VERSION = _after(objects.InstanceMappingList)
    child_versions = {
        **objects.InstanceMappingList.child_versions,
        VERSION: InstanceMapping99.VERSION,
    }

    @classmethod
    @base.remotable
    def get_by_zone(cls, context: Any, zone: str) -> Any:
        raise AssertionError('the conductor is asked')

    @classmethod
    @remote.paged(marker='instance_uuid')
    @base.remotable
    def get_by_project_id(
        cls,
        context: Any,
        project_id: str,
        limit: int | None = None,
        marker: str | None = None,
        zone: str | None = None,
    ) -> Any:
        raise AssertionError('the conductor is asked')


# The classes that clients had at the same time; today's come after the last.
OLD = (
    (CellMapping10, CellMappingList10, InstanceMapping10, InstanceMappingList10),
    (CellMapping11, CellMappingList11, InstanceMapping11, InstanceMappingList11),
    (CellMapping11, CellMappingList12, InstanceMapping12, InstanceMappingList12),
    (CellMapping11, CellMappingList12, InstanceMapping13, InstanceMappingList13),
    (CellMapping12, CellMappingList13, InstanceMapping14, InstanceMappingList14),
)
NEW = (CellMapping99, objects.CellMappingList, InstanceMapping99, InstanceMappingList99)


class Client(fixtures.Fixture):
    """The registry has these classes of nova_cellmap, and none else of it."""

    def __init__(self, classes: tuple[type[Any], ...]) -> None:
        self.classes = classes

    def _setUp(self) -> None:
        registry = library.VersionedObjectRegistry.obj_classes()
        # The lists too: registering inserts into them.
        before = {name: list(classes) for name, classes in base.registered().items()}
        self.addCleanup(registry.update, before)
        self.addCleanup(self._clear)
        self._clear()
        for cls in self.classes:
            library.VersionedObjectRegistry.register(cls)

    def _clear(self) -> None:
        registry = library.VersionedObjectRegistry.obj_classes()
        for name in base.registered():
            del registry[name]


class PlainAPI(library.VersionedObjectIndirectionAPI):
    """How clients called a conductor before there were pages: all at once."""

    def __init__(self, caller: Any) -> None:
        self.caller = caller

    def object_class_action_versions(
        self,
        context: Any,
        objname: str,
        objmethod: str,
        object_versions: dict[str, str],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        return self.caller(
            context,
            'object_class_action_versions',
            objname=objname,
            objmethod=objmethod,
            object_versions=object_versions,
            args=args,
            kwargs=kwargs,
        )

    def object_action(
        self,
        context: Any,
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
        self, context: Any, objinst: Any, object_versions: dict[str, str]
    ) -> Any:
        return self.caller(
            context, 'object_backport_versions', objinst=objinst, object_versions=object_versions
        )
