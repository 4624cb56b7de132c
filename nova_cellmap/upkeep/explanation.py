# SPDX-License-Identifier: Apache-2.0
"""Everything about one instance at a glance: what each database has of it, and what is wrong."""

from collections.abc import Sequence
from concurrent import futures
import dataclasses
import enum
from typing import Any

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cells import rows
from nova_cellmap.cells import traces
from nova_cellmap.cells.traces import Traces
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMappingList
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem
from nova_cellmap.upkeep.judge import Judge
from nova_cellmap.upkeep.readers import Readers

# How many cells are read at once.
_MOST_CELLS = 16
# What an audit repairs, where it is asked to.
_REPAIRED = (
    Kind.MISSING,
    Kind.WRONG_CELL,
    Kind.NO_CELL,
    Kind.WRONG_OWNER,
    Kind.STALE_QUEUED_FOR_DELETE,
)


_NovaTraces = dict[str, db_api.Row | None]


class State(enum.StrEnum):
    """What the audit says of an instance."""

    CORRECT = 'correct'
    PROBLEMS = 'problems'
    # Something differs that Nova is at work on, or that was changed a moment ago.
    IN_FLIGHT = 'in_flight'
    # A cell that may have the instance could not be read.
    UNKNOWN = 'unknown'
    # There is nothing of it anywhere.
    NOWHERE = 'nowhere'


@dataclasses.dataclass
class Explanation:
    """What there is of an instance.

    :ivar mapping: its row, as it is stored
    :ivar cells: what each cell has of it, in the order of the cells' creation
    :ivar nova: what Nova's API database has of it, where the mapping is in Nova's tables
    :ivar problems: what the audit finds wrong
    """

    uuid: str
    mapping: db_api.Row | None
    cells: list[Traces]
    nova: _NovaTraces | None
    state: State
    problems: list[Problem]

    @property
    def are_all_cells_read(self) -> bool:
        return not any(each.error for each in self.cells)

    @property
    def repair(self) -> list[str] | None:
        """The command that repairs it, without the program; None where none does."""
        kinds = {problem.kind for problem in self.problems}
        if Kind.DUPLICATE in kinds:
            return ['cell_v2', 'resolve_duplicate', self.uuid, '--keep', 'CELL']
        if Kind.ORPHANED in kinds:
            return ['cell_v2', 'audit', '--instance', self.uuid, '--purge']
        if not kinds.isdisjoint(_REPAIRED) and Kind.INVALID_ROW not in kinds:
            return ['cell_v2', 'audit', '--instance', self.uuid, '--repair']
        return None


def explain(context: RequestContext, uuid: str, patience: Patience | None = None) -> Explanation:
    """Look at an instance everywhere; a cell that does not answer keeps nothing else from it.

    :param patience: how long what differs is left alone; by default no time
    :raises: InvalidInput where it is no uuid
    """
    canonical = uuids.canonical(uuid)
    if canonical is None:
        raise exception.InvalidInput(reason=f'{rows.shown(uuid)} is no uuid')
    uuid = canonical
    cells = CellMappingList.get_all(context)
    with futures.ThreadPoolExecutor(min(len(cells), _MOST_CELLS) or 1) as pool:
        found = pool.map(lambda cell: traces.find(cell, uuid), cells)
        with Readers(context, cells) as readers:
            cases = Judge(context, readers, patience).cases([uuid])
        in_cells = [*found]
    mapping = next(iter(db_api.instance_mapping_get_as_stored(context, [uuid])), None)
    nova = db_api.nova_traces_get(context, uuid)
    state = _state(cases, mapping, in_cells, nova)
    problems = [problem for case in cases for problem in case.problems]
    return Explanation(uuid, mapping, in_cells, nova, state, problems)


def _state(
    cases: Sequence[Case],
    mapping: db_api.Row | None,
    cells: Sequence[Traces],
    nova: _NovaTraces | None,
) -> State:
    if cases:
        return State.PROBLEMS if any(case.problems for case in cases) else State.IN_FLIGHT
    unread = {each.cell.uuid for each in cells if each.error}
    named: Any = None if mapping is None else mapping['cell_uuid']
    is_shown = any(not row.get('hidden') for each in cells for row in each.instances)
    if unread and (named in unread or not is_shown):
        return State.UNKNOWN
    is_known = mapping is not None or any((nova or {}).values())
    if not is_known and not any(each.instances or each.shadow_instances for each in cells):
        return State.NOWHERE
    return State.CORRECT
