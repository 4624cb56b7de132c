# SPDX-License-Identifier: Apache-2.0
"""Which cell an instance is in."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from oslo_utils import versionutils
from oslo_versionedobjects import fields as library_fields

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import arguments
from nova_cellmap.objects import base
from nova_cellmap.objects import cell_mapping
from nova_cellmap.objects import fields
from nova_cellmap.objects import primitives
from nova_cellmap.objects import storage

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
# Where the values of a row are stored. The properties take ten times as long.
_CREATED_AT = storage.attribute('created_at')
_UPDATED_AT = storage.attribute('updated_at')
_ID = storage.attribute('id')
_INSTANCE_UUID = storage.attribute('instance_uuid')
_CELL_UUID = storage.attribute('cell_uuid')
_CELL = storage.attribute('cell_mapping')
_PROJECT_ID = storage.attribute('project_id')
_USER_ID = storage.attribute('user_id')
_QUEUED_FOR_DELETE = storage.attribute('queued_for_delete')
# Of a cell.
_UUID = storage.attribute('uuid')
_LOADED_CELL_UUID = '_loaded_cell_uuid'

# In a primitive, the cell that a change is from.
_LOADED_CELL = f'{base.CellMapObject.OBJ_SERIAL_NAMESPACE}.loaded_cell'


@primitives.compiled
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
        # Written out: as a loop it takes twice as long, and a list has thousands.
        created_at, updated_at, number, uuid, cell_uuid, project_id, queued, user_id = columns
        self = storage.new(cls, context)
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
    @base.remotable
    def get_by_instance_uuid(cls, context: RequestContext, instance_uuid: str) -> Self:
        """The mapping of an instance, with its cell.

        :raises: InstanceMappingNotFound
        """
        row = db_api.instance_mapping_get_by_instance_uuid(
            context, arguments.uuid('instance_uuid', instance_uuid)
        )
        return cls._from_joined_row(context, row)

    @base.remotable
    def create(self) -> None:
        """Map the instance.

        :raises: InstanceMappingExists; CellMappingNotFound where its cell does not exist;
            ObjectActionError where ``instance_uuid`` or ``project_id`` is not set
        """
        row = db_api.instance_mapping_create(self.obj_context, self.values_for_create())
        self._refresh(self._from_joined_row(self.obj_context, row))

    @base.remotable
    def save(self) -> None:
        """Store the fields that were changed, and no other.

        A change of the cell is made only where the mapping still has the cell
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
                self.obj_context, self.instance_uuid, values, expected_cell_uuid=expected
            )
        else:
            row = db_api.instance_mapping_get_by_instance_uuid(
                self.obj_context, self.instance_uuid
            )
        self._refresh(self._from_joined_row(self.obj_context, row))

    @base.remotable
    def destroy(self) -> None:
        """Remove the mapping.

        :raises: InstanceMappingNotFound
        """
        self._require('destroy', ('instance_uuid',))
        db_api.instance_mapping_destroy(self.obj_context, self.instance_uuid)

    def values_for_create(self) -> dict[str, Any]:
        """What :func:`nova_cellmap.db.api.instance_mapping_create` takes.

        :raises: ObjectActionError where ``instance_uuid`` or ``project_id`` is not set, or
            the object is of a mapping that exists
        """
        if storage.is_set(self, 'id'):
            raise exception.ObjectActionError(
                action='create', reason=f'instance {self.instance_uuid} is mapped already'
            )
        self._require('create', ('instance_uuid', 'project_id'))
        return self._values('create')

    def _values(self, action: str) -> dict[str, Any]:
        values = self._changes_for(action, _WRITABLE)
        values['instance_uuid'] = storage.value(self, 'instance_uuid')
        if 'cell_mapping' in values:
            # The column is cell_uuid; the two agree.
            del values['cell_mapping']
            values['cell_uuid'] = storage.value(self, 'cell_uuid')
        return values

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == 'cell_mapping':
            self.cell_uuid = None if self.cell_mapping is None else self.cell_mapping.uuid
        elif name == 'cell_uuid' and 'cell_mapping' in self:
            cell = self.cell_mapping
            if (None if cell is None else cell.uuid) != self.cell_uuid:
                storage.unset(self, 'cell_mapping')

    def obj_load_attr(self, attrname: str) -> None:
        if attrname != 'cell_mapping' or 'cell_uuid' not in self:
            super().obj_load_attr(attrname)
        if self.obj_context is None:
            raise base.OrphanedObjectError(method='obj_load_attr', objtype=self.obj_name())
        cell = None
        if self.cell_uuid is not None:
            cell = cell_mapping.CellMapping.get_by_uuid(self.obj_context, self.cell_uuid)
        super().__setattr__('cell_mapping', cell)
        self.obj_reset_changes(['cell_mapping'])

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copy = super().__deepcopy__(memo)
        copy._loaded_cell_uuid = self._loaded_cell_uuid
        return copy

    def obj_reset_changes(self, fields: list[str] | None = None, recursive: bool = False) -> None:
        super().obj_reset_changes(fields, recursive)
        self._keep_loaded_cell()

    def _was_written(self, primitive: dict[str, Any]) -> None:
        if self._loaded_cell_uuid is not db_api.ANYTHING and self._is_cell_changed():
            # What the change is from goes with it, as 'changes' does, so that a save on
            # the far side is the same compare-and-swap. Readers that know of none skip it.
            primitive[_LOADED_CELL] = self._loaded_cell_uuid

    def _was_read(self, primitive: dict[str, Any]) -> None:
        stored = vars(self)
        if _CELL in stored:
            # As where it is set: the cell tells its uuid.
            cell = stored[_CELL]
            stored[_CELL_UUID] = None if cell is None else vars(cell).get(_UUID) or cell.uuid
        if _LOADED_CELL in primitive:
            stored[_LOADED_CELL_UUID] = primitive[_LOADED_CELL]
        elif _ID in stored:
            self._keep_loaded_cell()

    def _keep_loaded_cell(self) -> None:
        stored = vars(self)
        if _CELL_UUID in stored and not (storage.CHANGED in stored and self._is_cell_changed()):
            stored[_LOADED_CELL_UUID] = stored[_CELL_UUID]

    def _is_cell_changed(self) -> bool:
        return not _CELL_FIELDS.isdisjoint(storage.changed(self))

    @classmethod
    def _from_joined_row(cls, context: RequestContext, row: db_api.Row) -> Self:
        cell = row['cell_mapping']
        if cell is not None:
            cell = cell_mapping.CellMapping.from_row(context, cell)
        return cls.from_row(context, row, cell)
