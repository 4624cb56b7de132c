# SPDX-License-Identifier: Apache-2.0
"""Which cell an instance is in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from oslo_utils import versionutils
from oslo_versionedobjects import fields as library_fields

from nova_cellmap import exception
from nova_cellmap import short_ways
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import base
from nova_cellmap.objects import cell_mapping
from nova_cellmap.objects import fast
from nova_cellmap.objects import fields
from nova_cellmap.objects import wire

_WRITABLE = frozenset(
    {
        'instance_uuid',
        'cell_uuid',
        'cell_mapping',
        'project_id',
        'user_id',
        'queued_for_delete',
    }
)
# The two forms of one thing.
_CELL_FIELDS = {'cell_uuid', 'cell_mapping'}
# The attributes behind the fields; the properties take ten times as long.
_CREATED_AT = f'{fast.STORAGE}created_at'
_UPDATED_AT = f'{fast.STORAGE}updated_at'
_ID = f'{fast.STORAGE}id'
_INSTANCE_UUID = f'{fast.STORAGE}instance_uuid'
_CELL_UUID = f'{fast.STORAGE}cell_uuid'
_CELL = f'{fast.STORAGE}cell_mapping'
_PROJECT_ID = f'{fast.STORAGE}project_id'
_USER_ID = f'{fast.STORAGE}user_id'
_UUID = f'{fast.STORAGE}uuid'
_LOADED_CELL_UUID = '_loaded_cell_uuid'
_QUEUED_FOR_DELETE = f'{fast.STORAGE}queued_for_delete'

# In a primitive, the cell that a change is from.
_LOADED_CELL = f'{base.CellMapObject.OBJ_SERIAL_NAMESPACE}.loaded_cell'


@fast.paths
@base.VersionedObjectRegistry.register
class InstanceMapping(base.TimestampedObject, base.CellMapObject):
    """An instance, the cell it is in, and who owns it.

    ``cell_uuid`` and ``cell_mapping`` are one thing in two forms and always agree: set
    either. None means that the instance has not been scheduled to a cell yet.
    ``user_id`` is unset on mappings from before there was one, and then cannot be read
    (ObjectActionError). ``instance_uuid`` cannot change once set.
    """

    # Version 1.0: Initial version: the row of the specification
    # Version 1.1: cell_uuid may be None: not scheduled yet
    # Version 1.2: Add queued_for_delete
    # Version 1.3: Add user_id
    # Version 1.4: Add cell_mapping
    VERSION = '1.4'

    fields = {
        'id': fields.IntegerField(read_only=True),
        'instance_uuid': fields.UUIDField(read_only=True),
        'cell_uuid': fields.UUIDField(nullable=True),
        'cell_mapping': library_fields.ObjectField(f'{base.NAMESPACE}.CellMapping', nullable=True),
        'project_id': fields.StringField(),
        'user_id': fields.StringField(),
        'queued_for_delete': fields.BooleanField(default=False),
    }
    obj_relationships = {'cell_mapping': [('1.4', '1.2')]}

    # The cell that the object was loaded with, for the compare-and-swap in save().
    _loaded_cell_uuid: str | db_api.Expected | None = db_api.ANYTHING

    def obj_make_compatible(self, primitive: dict[str, Any], target_version: str) -> None:
        super().obj_make_compatible(primitive, target_version)
        target = versionutils.convert_version_to_tuple(target_version)
        if target < (1, 4):
            primitive.pop('cell_mapping', None)
        if target < (1, 3):
            primitive.pop('user_id', None)
        if target < (1, 2):
            primitive.pop('queued_for_delete', None)
        if target < (1, 1) and primitive.get('cell_uuid', '') is None:
            # 1.0 cannot say "in no cell yet". Reading what is unset is an error there,
            # and so nobody takes it for an answer.
            del primitive['cell_uuid']

    @classmethod
    def from_row(
        cls,
        context: RequestContext,
        row: Mapping[str, Any],
        cell: 'cell_mapping.CellMapping | None',
    ) -> Self:
        """The object of a row of :mod:`nova_cellmap.db.api` and of its cell's object."""
        return cls.from_columns(context, db_api.columns_of(row), cell)

    @classmethod
    def from_columns(
        cls,
        context: RequestContext,
        columns: Sequence[Any],
        cell: 'cell_mapping.CellMapping | None',
    ) -> Self:
        """The same of the columns, in the order of ``MAPPING_COLUMNS`` there."""
        if not short_ways.are_on:
            return cls._from_columns_by_library(context, columns, cell)
        # Written out: as a loop it takes twice as long, and a list has thousands.
        created_at, updated_at, number, uuid, cell_uuid, project_id, queued, user_id = columns
        self = fast.new(cls, context)
        stored = vars(self)
        stored[_CREATED_AT] = base.as_utc(created_at)
        stored[_UPDATED_AT] = base.as_utc(updated_at)
        stored[_ID] = number
        stored[_INSTANCE_UUID] = uuid
        stored[_CELL_UUID] = stored[_LOADED_CELL_UUID] = cell_uuid
        stored[_PROJECT_ID] = project_id
        stored[_QUEUED_FOR_DELETE] = bool(queued)
        if user_id is not None:
            stored[_USER_ID] = user_id
        stored[_CELL] = cell
        return self

    @classmethod
    def from_values(cls, context: RequestContext, values: Mapping[str, Any]) -> Self:
        """The object, unchanged, of the values of fields.

        None is not set where the field cannot be None, and neither is what is missing.
        """
        known = {
            name: value
            for name, value in values.items()
            if value is not None or cls.fields[name].nullable
        }
        self = cls(context, **known)
        self.obj_reset_changes()
        return self

    @classmethod
    def _from_columns_by_library(
        cls,
        context: RequestContext,
        columns: Sequence[Any],
        cell: 'cell_mapping.CellMapping | None',
    ) -> Self:
        row = dict(zip(db_api.MAPPING_COLUMNS, columns, strict=True))
        return cls.from_values(
            context,
            {
                **row,
                'created_at': base.as_utc(row['created_at']),
                'updated_at': base.as_utc(row['updated_at']),
                'cell_mapping': cell,
                'queued_for_delete': bool(row['queued_for_delete']),
            },
        )

    @classmethod
    @base.remotable
    def get_by_instance_uuid(cls, context: RequestContext, instance_uuid: str) -> Self:
        """The mapping of an instance, with its cell.

        :raises: InstanceMappingNotFound
        """
        row = db_api.instance_mapping_get_by_instance_uuid(
            context, fields.canonical_uuid(instance_uuid)
        )
        return cls._from_joined_row(context, row)

    @base.remotable
    def create(self) -> None:
        """Map the instance.

        :raises: InstanceMappingExists; CellMappingNotFound where its cell does not exist;
            ObjectActionError where ``instance_uuid`` or ``project_id`` is not set
        """
        row = db_api.instance_mapping_create(self._context, self.values_for_create())
        self._refresh(self._from_joined_row(self._context, row))

    @base.remotable
    def save(self) -> None:
        """Store the fields that were changed, and no other.

        A change of the cell is made only where the mapping still stands with the cell
        that this object was loaded with. Setting the cell to None unmaps the instance.

        :raises: InstanceMappingNotFound; InstanceMappingConflict where another writer
            changed the cell first; CellMappingNotFound where the new cell does not exist
        """
        self._require('save', ('instance_uuid',))
        values = self._values('save')
        del values['instance_uuid']
        expected: str | db_api.Expected | None = db_api.ANYTHING
        if values.get('cell_uuid', db_api.ANYTHING) == self._loaded_cell_uuid:
            # Set to what it was, or only the cell's own fields were changed.
            values.pop('cell_uuid', None)
        elif 'cell_uuid' in values:
            expected = self._loaded_cell_uuid
        if values:
            row = db_api.instance_mapping_update(
                self._context, self.instance_uuid, values, expected_cell_uuid=expected
            )
        else:
            row = db_api.instance_mapping_get_by_instance_uuid(self._context, self.instance_uuid)
        self._refresh(self._from_joined_row(self._context, row))

    @base.remotable
    def destroy(self) -> None:
        """Remove the mapping.

        :raises: InstanceMappingNotFound
        """
        self._require('destroy', ('instance_uuid',))
        db_api.instance_mapping_destroy(self._context, self.instance_uuid)

    def values_for_create(self) -> dict[str, Any]:
        """What :func:`nova_cellmap.db.api.instance_mapping_create` takes.

        :raises: ObjectActionError where ``instance_uuid`` or ``project_id`` is not set, or
            the object is of a mapping that exists
        """
        if _ID in vars(self):
            raise exception.ObjectActionError(
                action='create', reason=f'instance {self.instance_uuid} is mapped already'
            )
        self._require('create', ('instance_uuid', 'project_id'))
        return self._values('create')

    def _values(self, action: str) -> dict[str, Any]:
        values = self._changes_for(action, _WRITABLE)
        stored = vars(self)
        values['instance_uuid'] = stored[_INSTANCE_UUID]
        if 'cell_mapping' in values:
            # The column is cell_uuid; the two agree.
            del values['cell_mapping']
            values['cell_uuid'] = stored[_CELL_UUID]
        return values

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == 'cell_mapping':
            self.cell_uuid = None if self.cell_mapping is None else self.cell_mapping.uuid
        elif name == 'cell_uuid' and 'cell_mapping' in self:
            cell = self.cell_mapping
            if (None if cell is None else cell.uuid) != self.cell_uuid:
                del self.cell_mapping
                self._changed_fields.discard('cell_mapping')

    def obj_load_attr(self, attrname: str) -> None:
        if attrname != 'cell_mapping' or 'cell_uuid' not in self:
            super().obj_load_attr(attrname)
        if self._context is None:
            raise base.OrphanedObjectError(method='obj_load_attr', objtype=self.obj_name())
        cell = None
        if self.cell_uuid is not None:
            cell = cell_mapping.CellMapping.get_by_uuid(self._context, self.cell_uuid)
        super().__setattr__('cell_mapping', cell)
        self.obj_reset_changes(['cell_mapping'])

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copy = super().__deepcopy__(memo)
        copy._loaded_cell_uuid = self._loaded_cell_uuid
        return copy

    def obj_reset_changes(self, fields: list[str] | None = None, recursive: bool = False) -> None:
        super().obj_reset_changes(fields, recursive)
        self._note_loaded_cell()

    def _was_written(self, primitive: dict[str, Any]) -> None:
        stored = vars(self)
        loaded = stored.get(_LOADED_CELL_UUID, db_api.ANYTHING)
        if loaded is not db_api.ANYTHING and _is_cell_changed(stored):
            # What the change is from goes with it, as 'changes' does, so that a save on
            # the far side is the same compare-and-swap. Readers that know of none skip it.
            primitive[_LOADED_CELL] = loaded

    def _was_read(self, primitive: dict[str, Any]) -> None:
        stored = vars(self)
        if _CELL in stored:
            # As where it is set: the cell tells its uuid.
            cell = stored[_CELL]
            stored[_CELL_UUID] = None if cell is None else vars(cell).get(_UUID) or cell.uuid
        if _LOADED_CELL in primitive:
            stored[_LOADED_CELL_UUID] = primitive[_LOADED_CELL]
        elif _ID in stored:
            self._note_loaded_cell()

    def _note_loaded_cell(self) -> None:
        stored = vars(self)
        if _CELL_UUID in stored and not _is_cell_changed(stored):
            stored[_LOADED_CELL_UUID] = stored[_CELL_UUID]

    @classmethod
    def _from_joined_row(cls, context: RequestContext, row: db_api.Row) -> Self:
        cell = row['cell_mapping']
        if cell is not None:
            cell = cell_mapping.CellMapping.from_row(context, cell)
        return cls.from_row(context, row, cell)


@base.VersionedObjectRegistry.register
class InstanceMappingList(base.ObjectListBase[InstanceMapping], base.CellMapObject):
    """Mappings, in the order of their creation.

    A list method takes *limit*, the greatest number of mappings (None: all), and
    *marker*, the instance_uuid of the last one of the page before (MarkerNotFound if
    it is not in the list). The mappings of one list share the objects of their cells.
    """

    # Version 1.0: Initial version
    # Version 1.1: Add get_by_cell_uuid and get_by_cell_id
    # Version 1.2: Add get_by_instance_uuids and destroy_bulk
    # Version 1.3: Add get_counts, get_count_by_uuids_and_user and
    #              get_not_deleted_by_cell_and_project
    # Version 1.4: Add limit and marker, get_all and create_bulk
    # Version 1.5: Travels as rows, with each cell once; create_bulk answers ids
    VERSION = '1.5'

    # The field of a member that is its place in a list, for the marker of the next page.
    MARKER = 'instance_uuid'

    fields = {
        'objects': library_fields.ListOfObjectsField(f'{base.NAMESPACE}.InstanceMapping'),
    }
    child_versions = {
        '1.0': '1.0',
        '1.1': '1.1',
        '1.2': '1.2',
        '1.3': '1.3',
        '1.4': '1.4',
        '1.5': '1.4',
    }

    def obj_to_primitive(
        self, target_version: str | None = None, version_manifest: dict[str, str] | None = None
    ) -> dict[str, Any]:
        packed = None
        if _is_current(target_version, version_manifest):
            packed = wire.pack(self.objects)
        if packed is None:
            return super().obj_to_primitive(target_version, version_manifest)
        return {
            self._obj_primitive_key('name'): self.obj_name(),
            self._obj_primitive_key('namespace'): self.OBJ_PROJECT_NAMESPACE,
            self._obj_primitive_key('version'): self.VERSION,
            self._obj_primitive_key('data'): packed,
        }

    @classmethod
    def _obj_from_primitive(cls, context: Any, objver: str, primitive: dict[str, Any]) -> Self:
        data = cls._obj_primitive_field(primitive, 'data')
        if 'rows' not in data:
            return super()._obj_from_primitive(context, objver, primitive)
        members: Any = base.VersionedObjectRegistry.obj_classes()[InstanceMapping.obj_name()][0]
        version = cls.child_versions.get(objver)
        self = cls._of(context, wire.unpack(context, data, members, version))
        self.VERSION = objver
        return self

    @classmethod
    @base.remotable
    def get_all(
        cls,
        context: RequestContext,
        project_id: str | None = None,
        cell_uuid: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """Every mapping, or those of a project, of a cell, or of both."""
        listed = db_api.instance_mapping_list(
            context,
            project_id=project_id,
            cell_uuid=_uuid_or_none(cell_uuid),
            limit=limit,
            marker=_uuid_or_none(marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @base.remotable
    def get_by_project_id(
        cls,
        context: RequestContext,
        project_id: str,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings of a project."""
        listed = db_api.instance_mapping_list(
            context,
            project_id=fields.required_text('project_id', project_id),
            limit=limit,
            marker=_uuid_or_none(marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @base.remotable
    def get_by_cell_uuid(
        cls,
        context: RequestContext,
        cell_uuid: str,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings to a cell; none where there is no such cell."""
        listed = db_api.instance_mapping_list(
            context,
            cell_uuid=fields.canonical_uuid(cell_uuid),
            limit=limit,
            marker=_uuid_or_none(marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @base.remotable
    def get_by_cell_id(
        cls,
        context: RequestContext,
        cell_id: int,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings to the cell with that ``id``; none where there is no such cell."""
        rows = db_api.instance_mapping_get_by_cell_id(
            context, cell_id, limit=limit, marker=_uuid_or_none(marker)
        )
        return cls._from_rows(context, rows)

    @classmethod
    @base.remotable
    def get_by_instance_uuids(
        cls,
        context: RequestContext,
        uuids: Iterable[str],
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings of any number of instances; those without one are left out."""
        listed = db_api.instance_mapping_list_by_instance_uuids(
            context,
            _uuids('uuids', uuids),
            limit=limit,
            marker=_uuid_or_none(marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @base.remotable
    def get_not_deleted_by_cell_and_project(
        cls,
        context: RequestContext,
        cell_uuid: str,
        project_id: str | None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings to a cell that are not queued for delete.

        :param project_id: None for those of all projects
        """
        listed = db_api.instance_mapping_list(
            context,
            cell_uuid=fields.canonical_uuid(cell_uuid),
            project_id=project_id,
            include_queued_for_delete=False,
            limit=limit,
            marker=_uuid_or_none(marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @base.remotable
    def get_counts(
        cls, context: RequestContext, project_id: str, user_id: str | None = None
    ) -> dict[str, dict[str, int]]:
        """How many instances a project has, and how many of them are a user's.

        What is queued for delete does not count.

        :returns: ``{'project': {'instances': n}}``, and with a *user_id* also
            ``'user': {'instances': n}``
        """
        project_id = fields.required_text('project_id', project_id)
        return db_api.instance_mapping_get_counts(context, project_id, user_id)

    @classmethod
    @base.remotable
    def get_count_by_uuids_and_user(
        cls, context: RequestContext, uuids: Iterable[str], user_id: str
    ) -> int:
        """How many of these instances are a user's; what is queued for delete is not counted."""
        return db_api.instance_mapping_get_count_by_uuids_and_user(
            context,
            _uuids('uuids', uuids),
            fields.required_text('user_id', user_id),
        )

    @classmethod
    @base.remotable
    def create_bulk(
        cls,
        context: RequestContext,
        mappings: Iterable[InstanceMapping],
        with_ids: bool = False,
    ) -> db_api.BulkResult:
        """Map many instances; each few thousand are one transaction.

        What stands already is left as it is, so that a call which was cut off can be
        repeated.

        :param with_ids: answer the ids of the new ones as well
        :returns: ``{'created': n, 'existing': n, 'conflicts': {instance_uuid: cell_uuid}}``:
            how many are new, how many stood already with the same cell, and with which
            cell (None: none yet) the others stand; *with_ids* also
            ``'ids': {instance_uuid: id}``
        :raises: CellMappingNotFound, ObjectActionError as for :meth:`InstanceMapping.create`
        """
        values = [
            _mapping(mapping).values_for_create() for mapping in _several('mappings', mappings)
        ]
        return db_api.instance_mapping_create_bulk(context, values, with_ids=with_ids)

    @classmethod
    @base.remotable
    def destroy_bulk(cls, context: RequestContext, instance_uuids: Iterable[str]) -> int:
        """Remove the mappings of any number of instances.

        :returns: how many there were
        """
        return db_api.instance_mapping_destroy_bulk(
            context, _uuids('instance_uuids', instance_uuids)
        )

    @classmethod
    def _from_rows(cls, context: RequestContext, rows: list[db_api.Row]) -> Self:
        return cls._from_listed(context, db_api.as_listed(rows))

    @classmethod
    def _from_listed(cls, context: RequestContext, listed: db_api.Listed) -> Self:
        cells = {
            uuid: None if row is None else cell_mapping.CellMapping.from_row(context, row)
            for uuid, row in listed.cells.items()
        }
        make = InstanceMapping.from_columns
        place = db_api.MAPPING_COLUMNS.index('cell_uuid')
        return cls._of(context, [make(context, row, cells[row[place]]) for row in listed.rows])


def _several(name: str, value: Any) -> Iterable[Any]:
    """:raises: InvalidInput where it is not several things"""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise exception.InvalidInput(reason=f'{name} must be a list, not {type(value).__name__}')
    return value


def _uuids(name: str, value: Any) -> Iterable[str]:
    return map(fields.canonical_uuid, _several(name, value))


def _mapping(value: Any) -> InstanceMapping:
    if not isinstance(value, InstanceMapping):
        raise exception.InvalidInput(
            reason=f'mappings must be InstanceMapping objects, not {type(value).__name__}'
        )
    return value


def _is_cell_changed(stored: dict[str, Any]) -> bool:
    return not _CELL_FIELDS.isdisjoint(stored.get('_changed_fields', ()))


def _is_current(target_version: str | None, manifest: dict[str, str] | None) -> bool:
    """Whether the reader knows today's versions of a list and of all that it holds."""
    wanted = {InstanceMappingList.obj_name(): target_version, **(manifest or {})}
    return all(
        wanted.get(cls.obj_name()) in (None, cls.VERSION)
        for cls in (InstanceMappingList, InstanceMapping, cell_mapping.CellMapping)
    )


def _uuid_or_none(value: str | None) -> str | None:
    return None if value is None else fields.canonical_uuid(value)
