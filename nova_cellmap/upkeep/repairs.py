# SPDX-License-Identifier: Apache-2.0
"""What an audit changes of what it finds."""

from collections.abc import Sequence

from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.change import Change


class Repairs:
    """Repairs of mappings.

    :param repair: have the mapping say what the cells say
    :param purge: remove the mappings of instances that no cell has
    """

    def __init__(self, *, repair: bool, purge: bool) -> None:
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

    def changes(self, cases: Sequence[Case]) -> list[Change]:
        """The changes of those that are to be changed."""
        found = [self._change(case) for case in cases if self.would_change(case)]
        # SQLite may have bytes in a column of text, which say the same.
        return [each for each in found if each.before != each.after]

    def _change(self, case: Case) -> Change:
        return Change(
            case.uuid,
            tuple(problem.kind.value for problem in case.problems),
            before=None if case.mapping is None else change.values_of(case.mapping),
            after=self._after(case),
            when=change.now(),
            why='; '.join(problem.detail for problem in case.problems),
        )

    def _after(self, case: Case) -> db_api.Row | None:
        if case.has(Kind.ORPHANED):
            return None
        if case.mapping is None:
            return change.values_of(
                {'project_id': None, 'user_id': None, 'queued_for_delete': None} | case.truth
            )
        return change.values_of({**case.mapping, **case.correction})
