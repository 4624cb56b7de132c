# SPDX-License-Identifier: Apache-2.0
"""The hot paths of nova_cellmap. Runs with a configuration file as its argument."""

from collections.abc import Sequence
import sys
from typing import Any
import uuid

import sqlalchemy as sa

from benchmarks import worker_loop
import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap.db import api as db_api
from nova_cellmap.db import engine
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList


class Ours:
    def __init__(self) -> None:
        self._context = context.get_admin_context()

    def lookup(self, instance_uuid: str) -> None:
        mapping = InstanceMapping.get_by_instance_uuid(self._context, instance_uuid)
        assert mapping.cell_mapping is not None

    def lookup_in_reader(self, *instance_uuids: str) -> None:
        with db_api.reader(self._context):
            for instance_uuid in instance_uuids:
                self.lookup(instance_uuid)

    def hundred(self, instance_uuids: Sequence[str]) -> None:
        found = InstanceMappingList.get_by_instance_uuids(self._context, instance_uuids)
        assert len(found) == len(instance_uuids)

    def project(self, project_id: str) -> None:
        assert InstanceMappingList.get_by_project_id(self._context, project_id)

    def page(self, project_id: str, marker: str | None, limit: int) -> None:
        found = InstanceMappingList.get_by_project_id(
            self._context, project_id, limit=limit, marker=marker
        )
        assert len(found) == limit

    page_first = page_last = page

    def count(self, project_id: str) -> None:
        assert InstanceMappingList.get_counts(self._context, project_id)['project']['instances']

    def prepare_create(self, project_id: str, cell_uuid: str) -> tuple[InstanceMapping]:
        return (self._new(project_id, cell_uuid),)

    def create(self, mapping: InstanceMapping) -> None:
        mapping.create()

    def prepare_create_bulk(
        self, project_id: str, cell_uuid: str, count: int
    ) -> tuple[list[InstanceMapping]]:
        return ([self._new(project_id, cell_uuid) for _ in range(count)],)

    def create_bulk(self, mappings: list[InstanceMapping]) -> None:
        result = InstanceMappingList.create_bulk(self._context, mappings)
        assert result['created'] == len(mappings)

    prepare_create_bulk_with_ids = prepare_create_bulk

    def create_bulk_with_ids(self, mappings: list[InstanceMapping]) -> None:
        result = InstanceMappingList.create_bulk(self._context, mappings, with_ids=True)
        assert len(result['ids']) == len(mappings)

    def prepare_save(self, instance_uuid: str) -> tuple[InstanceMapping]:
        mapping = InstanceMapping.get_by_instance_uuid(self._context, instance_uuid)
        mapping.queued_for_delete = not mapping.queued_for_delete
        return (mapping,)

    def save(self, mapping: InstanceMapping) -> None:
        mapping.save()

    def statements(self, path: str, *arguments: Any) -> list[tuple[str, Any]]:
        """What a path reads from the database: each statement with its parameters."""
        sent: list[tuple[str, Any]] = []

        def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            sent.append((statement, parameters))

        reader = engine.of().reader
        sa.event.listen(reader, 'before_cursor_execute', note)
        getattr(self, path)(*arguments)
        sa.event.remove(reader, 'before_cursor_execute', note)
        return sent

    def _new(self, project_id: str, cell_uuid: str) -> InstanceMapping:
        return InstanceMapping(
            self._context,
            instance_uuid=str(uuid.uuid4()),
            cell_uuid=cell_uuid,
            project_id=project_id,
            user_id='user',
            queued_for_delete=False,
        )


if __name__ == '__main__':
    nova_cellmap.configure(conf.new(config_files=[sys.argv[1]]))
    worker_loop.serve(Ours())
