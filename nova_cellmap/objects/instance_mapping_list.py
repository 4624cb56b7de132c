# SPDX-License-Identifier: Apache-2.0
"""Which cells many instances are in."""

from collections.abc import Iterable, Iterator
from typing import Any, Self

from oslo_versionedobjects import fields as library_fields

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import arguments
from nova_cellmap.objects import base
from nova_cellmap.objects import primitives
from nova_cellmap.objects import remote
from nova_cellmap.objects import wire
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.instance_mapping import InstanceMapping


def _mappings(name: str, value: Any) -> Iterator[InstanceMapping]:
    for each in arguments.several(name, value):
        if not isinstance(each, InstanceMapping):
            raise exception.InvalidInput(
                reason=f'{name} must be InstanceMapping objects, not {type(each).__name__}'
            )
        yield each


@base.VersionedObjectRegistry.register
class InstanceMappingList(base.CellMapObjectList[InstanceMapping]):
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
        return primitives.primitive_of(self, packed)

    @classmethod
    def _from_own_form(cls, context: Any, version: str, data: Any) -> Self | None:
        if 'rows' not in data:
            return None
        cells = [CellMapping.obj_from_primitive(cell, context) for cell in data['cells']]
        # Whatever class is registered for the name now.
        member: Any = base.VersionedObjectRegistry.obj_classes()[InstanceMapping.obj_name()][0]
        has_columns = wire.names(data, member) == set(db_api.MAPPING_COLUMNS)
        member_version = cls.child_versions.get(version, member.VERSION)
        members = []
        for place, values in wire.unpack(data, member):
            cell = None if place is None else cells[place]
            values['cell_uuid'] = None if cell is None else cell.uuid
            if has_columns:
                mapping = member.from_row(context, values, cell)
            else:
                mapping = member.from_values(context, {**values, 'cell_mapping': cell})
            if member_version != member.VERSION:
                mapping.VERSION = member_version
            members.append(mapping)
        self = cls._of(context, members)
        self.VERSION = version
        return self

    @classmethod
    @remote.paged(marker='instance_uuid')
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
        listed = db_api.instance_mapping_get_all(
            context,
            project_id=arguments.optional_text('project_id', project_id),
            cell_uuid=arguments.optional_uuid('cell_uuid', cell_uuid),
            limit=limit,
            marker=arguments.optional_uuid('marker', marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @remote.paged(marker='instance_uuid')
    @base.remotable
    def get_by_project_id(
        cls,
        context: RequestContext,
        project_id: str,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings of a project."""
        listed = db_api.instance_mapping_get_all(
            context,
            project_id=arguments.text('project_id', project_id),
            limit=limit,
            marker=arguments.optional_uuid('marker', marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @remote.paged(marker='instance_uuid')
    @base.remotable
    def get_by_cell_uuid(
        cls,
        context: RequestContext,
        cell_uuid: str,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings to a cell; none where there is no such cell."""
        listed = db_api.instance_mapping_get_all(
            context,
            cell_uuid=arguments.uuid('cell_uuid', cell_uuid),
            limit=limit,
            marker=arguments.optional_uuid('marker', marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @remote.paged(marker='instance_uuid')
    @base.remotable
    def get_by_cell_id(
        cls,
        context: RequestContext,
        cell_id: int,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings to the cell with that ``id``; none where there is no such cell."""
        listed = db_api.instance_mapping_get_by_cell_id(
            context, cell_id, limit=limit, marker=arguments.optional_uuid('marker', marker)
        )
        return cls._from_listed(context, listed)

    @classmethod
    @remote.chunked(by='uuids', check=arguments.uuids, merge=remote.joined)
    @remote.paged(marker='instance_uuid')
    @base.remotable
    def get_by_instance_uuids(
        cls,
        context: RequestContext,
        uuids: Iterable[str],
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """The mappings of any number of instances; those without one are left out."""
        listed = db_api.instance_mapping_get_by_instance_uuids(
            context,
            arguments.uuids('uuids', uuids),
            limit=limit,
            marker=arguments.optional_uuid('marker', marker),
        )
        return cls._from_listed(context, listed)

    @classmethod
    @remote.paged(marker='instance_uuid')
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
        listed = db_api.instance_mapping_get_all(
            context,
            cell_uuid=arguments.uuid('cell_uuid', cell_uuid),
            project_id=arguments.optional_text('project_id', project_id),
            include_queued_for_delete=False,
            limit=limit,
            marker=arguments.optional_uuid('marker', marker),
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
        project_id = arguments.text('project_id', project_id)
        user_id = arguments.optional_text('user_id', user_id)
        return db_api.instance_mapping_get_counts(context, project_id, user_id)

    @classmethod
    @remote.chunked(by='uuids', check=arguments.uuids, merge=sum)
    @base.remotable
    def get_count_by_uuids_and_user(
        cls, context: RequestContext, uuids: Iterable[str], user_id: str
    ) -> int:
        """How many of these instances are a user's; what is queued for delete is not counted."""
        return db_api.instance_mapping_get_count_by_uuids_and_user(
            context,
            arguments.uuids('uuids', uuids),
            arguments.text('user_id', user_id),
        )

    @classmethod
    @remote.chunked(by='mappings', check=_mappings, merge=remote.added_up)
    @base.remotable
    def create_bulk(
        cls,
        context: RequestContext,
        mappings: Iterable[InstanceMapping],
        with_ids: bool = False,
    ) -> db_api.BulkResult:
        """Map many instances; each few thousand are one transaction.

        What exists already is left as it is, so that a call which was cut off can be
        repeated.

        :param with_ids: answer the ids of the new ones as well
        :returns: ``{'created': n, 'existing': n, 'conflicts': {instance_uuid: cell_uuid}}``:
            how many are new, how many existed already with the same cell, and which
            cell (None: none yet) the others have; *with_ids* also
            ``'ids': {instance_uuid: id}``
        :raises: CellMappingNotFound, ObjectActionError as for :meth:`InstanceMapping.create`
        """
        values = [each.values_for_create() for each in _mappings('mappings', mappings)]
        return db_api.instance_mapping_create_bulk(context, values, with_ids=with_ids)

    @classmethod
    @remote.chunked(by='instance_uuids', check=arguments.uuids, merge=sum)
    @base.remotable
    def destroy_bulk(cls, context: RequestContext, instance_uuids: Iterable[str]) -> int:
        """Remove the mappings of any number of instances.

        :returns: how many there were
        """
        return db_api.instance_mapping_destroy_bulk(
            context, arguments.uuids('instance_uuids', instance_uuids)
        )

    @classmethod
    def _from_listed(cls, context: RequestContext, listed: db_api.MappingRows) -> Self:
        cells = {uuid: CellMapping.from_row(context, row) for uuid, row in listed.cells.items()}
        make = InstanceMapping.from_columns
        place = db_api.MAPPING_COLUMNS.index('cell_uuid')
        return cls._of(
            context, [make(context, row, cells.get(row[place])) for row in listed.columns]
        )


def _is_current(target_version: str | None, manifest: dict[str, str] | None) -> bool:
    """Whether the reader knows today's versions of a list and of all that it holds."""
    wanted = {InstanceMappingList.obj_name(): target_version, **(manifest or {})}
    return all(
        wanted.get(cls.obj_name()) in (None, cls.VERSION)
        for cls in (InstanceMappingList, InstanceMapping, CellMapping)
    )
