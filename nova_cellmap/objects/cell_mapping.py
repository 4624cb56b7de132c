# SPDX-License-Identifier: Apache-2.0
"""A cell: its name, its database and its message queue."""

from collections.abc import Mapping
import logging
from typing import Any, Self

from oslo_utils import uuidutils
from oslo_utils import versionutils
from oslo_versionedobjects import fields as library_fields

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap import url
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import arguments
from nova_cellmap.objects import base
from nova_cellmap.objects import fields
from nova_cellmap.objects import primitives
from nova_cellmap.objects import remote

LOG = logging.getLogger(__name__)

_WRITABLE = frozenset({'uuid', 'name', 'transport_url', 'database_connection', 'disabled'})


@primitives.compiled
@base.VersionedObjectRegistry.register
class CellMapping(base.TimestampedObject, base.CellMapObject):
    """A cell.

    ``database_connection`` and ``transport_url`` may be stored as templates
    (``mysql+pymysql://{username}:{password}@{hostname}:{port}/nova_cell1``); an object that
    was loaded holds them filled, from ``[database] connection`` and ``[DEFAULT]
    transport_url``. A scheme of ``none`` says that the cell has no such thing. Their
    passwords are masked wherever the object is shown.

    ``name`` may be None, and is otherwise unique. ``uuid`` cannot change once set.
    """

    # Version 1.0: Initial version
    # Version 1.1: Add disabled
    # Version 1.2: Add get_by_name
    VERSION = '1.2'

    CELL0_UUID = '00000000-0000-0000-0000-000000000000'

    fields = {
        'id': fields.IntegerField(read_only=True),
        'uuid': fields.UUIDField(read_only=True),
        'name': fields.StringField(nullable=True),
        'transport_url': fields.URLField(),
        'database_connection': fields.URLField(),
        'disabled': fields.BooleanField(default=False),
    }

    def obj_make_compatible(self, primitive: dict[str, Any], target_version: str) -> None:
        super().obj_make_compatible(primitive, target_version)
        if versionutils.convert_version_to_tuple(target_version) < (1, 1):
            primitive.pop('disabled', None)

    def obj_load_attr(self, attrname: str) -> None:
        """Nothing is loaded; say why there is nothing.

        :raises: CellFieldKeptBack where the object came from a conductor, which has the field;
            ObjectActionError where nobody has set it yet
        """
        if 'uuid' in self and not self.obj_what_changed():
            raise exception.CellFieldKeptBack(field=attrname, cell=self.identity)
        super().obj_load_attr(attrname)

    @property
    def identity(self) -> str:
        """The uuid, and in parentheses the name if there is one."""
        if 'name' in self and self.name:
            return f'{self.uuid}({self.name})'
        return self.uuid

    def is_cell0(self) -> bool:
        """Whether this is the cell of the instances that were never scheduled."""
        return 'uuid' in self and self.uuid == self.CELL0_UUID

    @classmethod
    def from_row(cls, context: RequestContext, row: Mapping[str, Any]) -> Self:
        """The object of a row of :mod:`nova_cellmap.db.api`."""
        values = {
            **row,
            'created_at': base.as_utc(row['created_at']),
            'updated_at': base.as_utc(row['updated_at']),
        }
        if url.is_template(row['database_connection']):
            base_url = runtime.of(context).conf.database.connection
            values['database_connection'] = _filled(row, 'database_connection', base_url)
        if url.is_template(row['transport_url']):
            values['transport_url'] = _filled(row, 'transport_url', _base_transport_url(context))
        return cls._loaded(context, values)

    @classmethod
    @base.remotable
    def get_by_uuid(cls, context: RequestContext, uuid: str) -> Self:
        """:raises: CellMappingNotFound"""
        row = db_api.cell_mapping_get_by_uuid(context, arguments.uuid('uuid', uuid))
        return cls.from_row(context, row)

    @classmethod
    @base.remotable
    def get_by_name(cls, context: RequestContext, name: str) -> Self:
        """The cell of that name; upper and lower case differ.

        :raises: CellMappingNotFound
        """
        name = arguments.text('name', name)
        return cls.from_row(context, db_api.cell_mapping_get_by_name(context, name))

    @base.remotable
    def create(self) -> None:
        """Add the cell. A uuid that is not set is made.

        :raises: CellMappingExists where its uuid or name is taken; InvalidURL where a cell may
            not have a URL as it is; ObjectActionError where a URL is not set
        """
        if 'uuid' not in self:
            self.uuid = uuidutils.generate_uuid()
        self._require('create', ('transport_url', 'database_connection'))
        values = self.changes('create')
        self._refresh(
            self.from_row(self.obj_context, db_api.cell_mapping_create(self.obj_context, values))
        )

    @base.remotable
    def save(self) -> None:
        """Store the fields that were changed, and no other.

        :raises: CellMappingNotFound; CellMappingExists where the new name is taken; InvalidURL
            where a cell may not have a new URL as it is
        """
        self._require('save', ('uuid',))
        values = self.changes('save')
        values.pop('uuid', None)
        if values:
            row = db_api.cell_mapping_update(self.obj_context, self.uuid, values)
        else:
            row = db_api.cell_mapping_get_by_uuid(self.obj_context, self.uuid)
        self._refresh(self.from_row(self.obj_context, row))

    def changes(self, action: str) -> dict[str, Any]:
        """The fields that were changed, with their values, which were looked at.

        :param action: what is to be done with them, for messages
        :raises: InvalidInput, InvalidURL, where one of them cannot be stored
        """
        values = self._changes_for(action, _WRITABLE)
        check_urls(values, self.runtime)
        return values

    @base.remotable
    def destroy(self) -> None:
        """Remove the cell.

        :raises: CellMappingNotFound; CellMappingInUse where mappings to it are left
        """
        self._require('destroy', ('uuid',))
        db_api.cell_mapping_destroy(self.obj_context, self.uuid)


@base.VersionedObjectRegistry.register
class CellMappingList(base.CellMapObjectList[CellMapping]):
    """Cells, in the order of their creation.

    A list method takes *limit*, the greatest number of cells (None: all), and *marker*,
    the uuid of the last cell of the page before (MarkerNotFound if it is not in the list).
    """

    # Version 1.0: Initial version
    # Version 1.1: Add get_by_disabled
    # Version 1.2: Add get_by_project_id
    # Version 1.3: Add limit and marker
    VERSION = '1.3'

    fields = {
        'objects': library_fields.ListOfObjectsField(f'{base.NAMESPACE}.CellMapping'),
    }
    child_versions = {'1.0': '1.0', '1.1': '1.1', '1.2': '1.1', '1.3': '1.2'}

    @classmethod
    @remote.paged(marker='uuid')
    @base.remotable
    def get_all(
        cls, context: RequestContext, limit: int | None = None, marker: str | None = None
    ) -> Self:
        """Every cell."""
        return cls._from_rows(
            context,
            db_api.cell_mapping_get_all(
                context, limit=limit, marker=arguments.optional_uuid('marker', marker)
            ),
        )

    @classmethod
    @remote.paged(marker='uuid')
    @base.remotable
    def get_by_disabled(
        cls,
        context: RequestContext,
        disabled: bool,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The cells that are disabled, or those that are not."""
        rows = db_api.cell_mapping_get_all(
            context,
            disabled=bool(disabled),
            limit=limit,
            marker=arguments.optional_uuid('marker', marker),
        )
        return cls._from_rows(context, rows)

    @classmethod
    @remote.paged(marker='uuid')
    @base.remotable
    def get_by_project_id(
        cls,
        context: RequestContext,
        project_id: str,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The cells that have at least one mapping of a project."""
        rows = db_api.cell_mapping_get_by_project_id(
            context,
            arguments.text('project_id', project_id),
            limit=limit,
            marker=arguments.optional_uuid('marker', marker),
        )
        return cls._from_rows(context, rows)

    @classmethod
    def _from_rows(cls, context: RequestContext, rows: list[db_api.Row]) -> Self:
        return cls._of(context, [CellMapping.from_row(context, row) for row in rows])


def check_urls(
    values: Mapping[str, Any], where: runtime.Runtime, *, from_client: bool = False
) -> None:
    """Check the URLs among the values of a cell that is to be stored.

    :param from_client: a client of the conductor sets them, who may set less than an operator
    :raises: InvalidURL
    """
    try:
        if 'database_connection' in values:
            name = 'database_connection'
            url.check_cell_database(
                values[name],
                from_client=from_client,
                also=where.conf.cells.more_url_parameters,
            )
        if 'transport_url' in values:
            name = 'transport_url'
            url.check_cell_transport(values[name], from_client=from_client)
    except url.InvalidURL as error:
        raise exception.InvalidURL(reason=f'{name} of a cell: {error}') from None


def _filled(row: Mapping[str, Any], column: str, base_url: str | None) -> str:
    template: str = row[column]
    try:
        return url.fill(template, base_url)
    except url.TemplateError as error:
        # One cell with a wrong template must not hide all others; a caller that connects
        # to this one is told.
        LOG.error('%s of cell %s cannot be filled: %s', column, row['uuid'], error)
        return template


def _base_transport_url(context: RequestContext) -> str | None:
    # It brings oslo.messaging, which takes half a second to import: few cells are templates.
    from nova_cellmap.conf import base as base_conf

    return base_conf.transport_url(runtime.of(context).conf)
