# SPDX-License-Identifier: Apache-2.0
"""What an audit changes: rows that are still as it has read them, since another writer wins."""

from collections.abc import Sequence
import contextlib
import logging

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep import apart
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Kind

LOG = logging.getLogger(__name__)


class Repairs:
    """Repairs of mappings.

    :param repair: have the mapping say what the cells say
    :param purge: remove the mappings of instances that no cell has
    """

    def __init__(self, context: RequestContext, *, repair: bool, purge: bool) -> None:
        self._context = context
        self._repair = repair
        self._purge = purge

    @property
    def are_any(self) -> bool:
        """Whether anything is to be changed."""
        return self._repair or self._purge

    def would_change(self, case: Case) -> bool:
        """Whether the mapping of an instance is to be changed."""
        is_repaired = self._repair and (case.has(Kind.MISSING) or case.is_repairable)
        return is_repaired or (self._purge and case.has(Kind.ORPHANED))

    def make(self, cases: Sequence[Case]) -> None:
        """Change what is wrong with these instances, as far as it is to be changed."""
        # A cell may be removed meanwhile; the next look tells what became of its mappings.
        with contextlib.suppress(exception.CellMappingNotFound):
            if self._repair:
                missing = [case for case in cases if case.has(Kind.MISSING)]
                apart.each(missing, self._create, _warn)
                wrong = [case for case in cases if case.is_repairable]
                apart.each(wrong, self._update, _warn)
        if self._purge:
            self._remove([case for case in cases if case.has(Kind.ORPHANED)])

    def _create(self, cases: Sequence[Case]) -> None:
        new = [{'instance_uuid': case.uuid, **case.truth} for case in cases]
        db_api.instance_mapping_create_bulk(self._context, new)

    def _update(self, cases: Sequence[Case]) -> None:
        changes = [(case.mapping, case.correction) for case in cases if case.mapping is not None]
        db_api.instance_mapping_update_bulk(self._context, changes)

    def _remove(self, cases: Sequence[Case]) -> None:
        by_cell: dict[str | None, list[str]] = {}
        for case in cases:
            by_cell.setdefault(case.named, []).append(case.uuid)
        for cell_uuid, uuids in by_cell.items():
            db_api.instance_mapping_destroy_bulk(
                self._context, uuids, expected_cell_uuid=cell_uuid
            )


def _warn(case: Case, error: exception.InvalidInput) -> None:
    LOG.warning('The mapping of instance %s is left as it is: %s', case.uuid, error)
