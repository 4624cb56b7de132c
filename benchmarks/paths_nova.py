# SPDX-License-Identifier: Apache-2.0
"""The same paths through Nova's own objects. Runs in Nova's environment, with a configuration
file as its argument."""

from collections.abc import Sequence
from pathlib import Path
import sys
from typing import Any
import uuid

from nova import config
from nova import context
from nova import objects

# Behind all else: files here have the names of other packages' modules.
sys.path.append(str(Path(__file__).parent))
import worker_loop  # type: ignore[import-not-found]  # noqa: E402


class Nova:
    def __init__(self) -> None:
        # Or it would ask for a policy file.
        self._context = context.RequestContext(is_admin=True)
        cells = objects.CellMappingList.get_all(self._context)
        self._cells = {cell.uuid: cell for cell in cells}

    def lookup(self, instance_uuid: str) -> None:
        mapping = objects.InstanceMapping.get_by_instance_uuid(self._context, instance_uuid)
        assert mapping.cell_mapping is not None

    def hundred(self, instance_uuids: Sequence[str]) -> None:
        found = objects.InstanceMappingList.get_by_instance_uuids(self._context, instance_uuids)
        assert len(found) == len(instance_uuids)

    def project(self, project_id: str) -> None:
        assert objects.InstanceMappingList.get_by_project_id(self._context, project_id).objects

    def count(self, project_id: str) -> None:
        counts = objects.InstanceMappingList.get_counts(self._context, project_id)
        assert counts['project']['instances']

    def prepare_create(self, project_id: str, cell_uuid: str) -> tuple[Any]:
        mapping = objects.InstanceMapping(
            self._context,
            instance_uuid=str(uuid.uuid4()),
            cell_mapping=self._cells[cell_uuid],
            project_id=project_id,
            user_id='user',
            queued_for_delete=False,
        )
        return (mapping,)

    def create(self, mapping: Any) -> None:
        mapping.create()

    def prepare_save(self, instance_uuid: str) -> tuple[Any]:
        mapping = objects.InstanceMapping.get_by_instance_uuid(self._context, instance_uuid)
        mapping.queued_for_delete = not mapping.queued_for_delete
        return (mapping,)

    def save(self, mapping: Any) -> None:
        mapping.save()


if __name__ == '__main__':
    config.parse_args(['nova', '--config-file', sys.argv[1]])
    objects.register_all()
    worker_loop.serve(Nova())
