# SPDX-License-Identifier: Apache-2.0
"""Applying a plan: the changes that an audit has planned, as far as they still hold."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
import dataclasses
import os

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import batches
from nova_cellmap.upkeep import change_files
from nova_cellmap.upkeep import empty_cells
from nova_cellmap.upkeep import limits
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change_files import ChangeFiles
from nova_cellmap.upkeep.changing import Changer
from nova_cellmap.upkeep.journal import Journal
from nova_cellmap.upkeep.judge import Judge
from nova_cellmap.upkeep.limits import MostChanges
from nova_cellmap.upkeep.readers import Readers
from nova_cellmap.upkeep.repairs import Repairs

# How many instances are looked at and changed at a time.
_SIZE = 500


@dataclasses.dataclass
class Applied:
    """What became of plans.

    ``looked_at`` of ``total`` changes it has come to. ``made`` are made; ``left`` are those that
    do not hold any more. ``errors`` are why cells could not be read, by their uuids.
    """

    total: int = 0
    looked_at: int = 0
    made: int = 0
    left: int = 0
    errors: dict[str, exception.CellError] = dataclasses.field(default_factory=dict)


def apply(
    context: RequestContext,
    cells: Iterable[CellMapping],
    paths: Iterable[str | os.PathLike[str]],
    *,
    journal: Journal | None = None,
    patience: Patience | None = None,
    most_changes: MostChanges | None = None,
    on_batch: Callable[[Applied], None] = lambda applied: None,
) -> Applied:
    """Make the changes of plans that an audit would make today just so.

    Each instance is looked at again, in the mapping and in the cells. What is left is logged. A
    run that was stopped or killed is begun again: what it has made holds no more, and is left.

    :param cells: all cells of the cloud
    :param paths: the plans; or journals, the oldest first
    :param journal: where each change is written down before it is made; None: nowhere
    :param patience: how long is waited for Nova
    :param most_changes: make nothing where there are more changes; None: any number
    :param on_batch: called after each batch
    :raises: ChangeFileNotFound, ChangeFileUnreadable, InvalidChangeFile, ChangesRefused,
        PurgeRefused, before anything is changed; JournalUnwritable
    """
    with ChangeFiles(paths) as plan, Readers(context, cells) as readers:
        applied = Applied()
        problems: Counter[str] = Counter()
        is_purging = False
        for entry in plan.made():
            applied.total += 1
            problems.update(entry.change.problems)
            is_purging = is_purging or entry.change.after is None
        refused = limits.refusal(context, most_changes, applied.total, problems.items())
        if refused is not None:
            raise refused
        if is_purging:
            empty_cells.check(context, readers.all())
        applier = _Applier(context, readers, patience, Changer(context, journal))
        for batch in change_files.batches(plan.made(), _SIZE):
            left = applier.make([entry.change for entry in batch])
            reasons = [f'instance {uuid}: {why}' for uuid, why in left.items()]
            batches.warn('the mapping', reasons, applied.left)
            applied.looked_at += len(batch)
            applied.left += len(left)
            applied.made += len(batch) - len(left)
            on_batch(applied)
        applied.errors = readers.errors
    return applied


class _Applier:
    def __init__(
        self,
        context: RequestContext,
        readers: Readers,
        patience: Patience | None,
        changer: Changer,
    ) -> None:
        self._judge = Judge(context, readers, patience)
        self._repairs = Repairs(repair=True, purge=True)
        self._changer = changer

    def make(self, planned: Sequence[Change]) -> dict[str, str]:
        """Make those that hold; answer by instance why those that are left are."""
        cases = self._judge.cases([each.instance_uuid for each in planned])
        found = {each.instance_uuid: each for each in self._repairs.changes(cases)}
        in_flight = {case.uuid for case in cases if case.is_in_flight}
        holding: list[Change] = []
        left: dict[str, str] = {}
        for change in planned:
            now = found.get(change.instance_uuid)
            if now is not None and (now.before, now.after) == (change.before, change.after):
                # With today's time.
                holding.append(now)
            elif change.instance_uuid in in_flight:
                left[change.instance_uuid] = 'Nova is at work on it, or was a moment ago'
            else:
                left[change.instance_uuid] = 'an audit would not make this change any more'
        return left | dict(self._changer.make(holding))
