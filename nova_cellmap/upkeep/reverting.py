# SPDX-License-Identifier: Apache-2.0
"""Taking changes back, by the journal: those of mappings that nobody has changed since."""

from collections.abc import Callable, Collection, Iterator
import dataclasses
import datetime
import os

from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep import batches
from nova_cellmap.upkeep import change_files
from nova_cellmap.upkeep import journal as journals
from nova_cellmap.upkeep import limits
from nova_cellmap.upkeep.change import TAKEN_BACK
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change_files import ChangeFiles
from nova_cellmap.upkeep.change_files import Entry
from nova_cellmap.upkeep.change_files import Fate
from nova_cellmap.upkeep.changing import BATCH_SIZE
from nova_cellmap.upkeep.changing import Changer
from nova_cellmap.upkeep.journal import Journal
from nova_cellmap.upkeep.limits import MostChanges


@dataclasses.dataclass
class Reverted:
    """What became of changes that were to be taken back.

    ``looked_at`` of ``total`` it has come to. ``reverted`` are taken back; ``left`` are those of
    mappings that others have changed since; ``unmade`` are of runs that were killed, and there is
    nothing of them to be taken back.
    """

    total: int = 0
    looked_at: int = 0
    reverted: int = 0
    left: int = 0
    unmade: int = 0


def revert(
    context: RequestContext,
    path: str | os.PathLike[str],
    *,
    since: datetime.datetime | None = None,
    instances: Collection[str] = (),
    journal: Journal | None = None,
    most_changes: MostChanges | None = None,
    on_batch: Callable[[Reverted], None] = lambda reverted: None,
) -> Reverted:
    """Take changes back, the newest first, as far as the mapping is still as they made it.

    Only the mapping is written, never a cell. Where others have changed a mapping after one of
    the changes, that one and those before it are left, and logged. A run that was stopped or
    killed is begun again: what was taken back already is passed over.

    :param path: a journal; the files that it was before are read too
    :param since: only those that were made then or later, UTC
    :param instances: only those of these instances; of all by default
    :param journal: where this is written down before it is done; None: nowhere. It may be the one
        that is read.
    :param most_changes: take nothing back where more are to be taken back; None: any number
    :param on_batch: called after each batch
    :raises: ChangeFileNotFound, ChangeFileUnreadable, InvalidChangeFile, ChangesRefused, before
        anything is changed; JournalUnwritable
    """

    def is_wanted(change: Change) -> bool:
        is_new = since is None or change.when >= since
        return is_new and (not instances or change.instance_uuid in instances)

    with ChangeFiles(journals.files(path), wanted=is_wanted, may_be_torn=True) as record:
        taken_back = _taken_back(record)
        reverted = Reverted(total=sum(1 for _ in _to_take_back(record, *taken_back)))
        refused = limits.refusal(
            context, most_changes, reverted.total, [(TAKEN_BACK, reverted.total)]
        )
        if refused is not None:
            raise refused
        reverter = _Reverter(Changer(context, journal), reverted)
        to_take_back = _to_take_back(record, *taken_back)
        for batch in change_files.batches(to_take_back, BATCH_SIZE):
            reverter.take_back(batch)
            on_batch(reverted)
    return reverted


def _to_take_back(record: ChangeFiles, done: set[int], unsure: set[int]) -> Iterator[Entry]:
    """The changes, the newest first, without those that were taken back already.

    :param done: the numbers of these
    :param unsure: and of those that perhaps were
    """
    for entry in record.made(newest_first=True):
        if entry.number in unsure:
            yield dataclasses.replace(entry, fate=Fate.UNKNOWN)
        elif entry.number not in done and not entry.change.is_taken_back:
            yield entry


def _taken_back(record: ChangeFiles) -> tuple[set[int], set[int]]:
    """The numbers of the changes that were taken back, and of those that perhaps were.

    Since the newest is taken back first, there is nothing left then of the later ones of its
    instance either.
    """
    uuids = {e.change.instance_uuid for e in record.made() if e.change.is_taken_back}
    # By instance, the changes that were not taken back.
    there: dict[str, list[tuple[int, int]]] = {uuid: [] for uuid in uuids}
    done: set[int] = set()
    unsure: set[int] = set()
    for entry in record.made() if uuids else ():
        change = entry.change
        changes = there.get(change.instance_uuid)
        if changes is None:
            continue
        if not change.is_taken_back:
            changes.append((entry.number, _key(change.before, change.after)))
            continue
        key = _key(change.after, change.before)
        place = max((n for n, (_, each) in enumerate(changes) if each == key), default=None)
        # Where there is none, it is in another journal.
        if place is not None and entry.fate is Fate.MADE:
            done.update(number for number, _ in changes[place:])
            del changes[place:]
        elif place is not None:
            unsure.add(changes[place][0])
    return done, unsure - done


def _key(before: db_api.Row | None, after: db_api.Row | None) -> int:
    """What tells a change of an instance from its others, in little memory."""
    return hash(tuple(values and tuple(values.items()) for values in (before, after)))


class _Reverter:
    def __init__(self, changer: Changer, reverted: Reverted) -> None:
        self._changer = changer
        self._reverted = reverted
        # The instances whose mappings others have changed.
        self._changed: set[str] = set()

    def take_back(self, entries: list[Entry]) -> None:
        """Take changes back, each of another instance."""
        uuids = [entry.change.instance_uuid for entry in entries]
        not_made = self._changer.make(
            [
                entry.change.opposite
                for entry in entries
                if entry.change.instance_uuid not in self._changed
            ]
        )
        unmade = {
            entry.change.instance_uuid
            for entry in entries
            if entry.fate is Fate.UNKNOWN and entry.change.instance_uuid in not_made
        }
        self._changed |= not_made.keys() - unmade
        left = [uuid for uuid in uuids if uuid in self._changed]
        reasons = [f'instance {uuid}: {not_made.get(uuid, _LATER)}' for uuid in left]
        batches.warn('the mapping', reasons, self._reverted.left)
        self._reverted.looked_at += len(entries)
        self._reverted.left += len(left)
        self._reverted.unmade += len(unmade)
        self._reverted.reverted += len(entries) - len(left) - len(unmade)


_LATER = 'a later change could not be taken back'
