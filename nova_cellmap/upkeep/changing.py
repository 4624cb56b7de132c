# SPDX-License-Identifier: Apache-2.0
"""Making changes: of mappings that are still as they were seen, since another writer wins."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep import apart
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.journal import Journal

# How many changes are made at a time, and have one outcome in the journal.
BATCH_SIZE = 1000
# Why a change was not made.
OTHERS_FIRST = 'others have changed it'

_Make = Callable[[Sequence[Change]], Iterable[str]]


class Changer:
    """Makes changes, each of which is in the journal before.

    :param journal: None: they are written down nowhere
    """

    def __init__(self, context: RequestContext, journal: Journal | None) -> None:
        self._context = context
        self._journal = journal

    def make(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Make changes, of any number of instances, each of another one.

        :returns: by instance, why those that were not made were not
        :raises: JournalUnwritable, DatabaseError
        """
        not_made: dict[str, str] = {}
        for start in range(0, len(changes), BATCH_SIZE):
            some = changes[start : start + BATCH_SIZE]
            if self._journal is None:
                not_made |= self._make(some)
            else:
                not_made |= self._journal.record(some, self._make)
        return not_made

    def _make(self, changes: Sequence[Change]) -> dict[str, str]:
        alike: dict[tuple[_Make, str | None], list[Change]] = {}
        for change in changes:
            alike.setdefault((self._way(change), _cell(change)), []).append(change)
        not_made: dict[str, str] = {}
        for (make, _), some in alike.items():
            not_made |= _made_apart(make, some)
        return not_made

    def _way(self, change: Change) -> _Make:
        if change.before is None:
            return self._create
        return self._remove if change.after is None else self._update

    def _create(self, changes: Sequence[Change]) -> Iterable[str]:
        new = [{'instance_uuid': each.instance_uuid, **(each.after or {})} for each in changes]
        return db_api.instance_mapping_create_bulk(self._context, new, with_ids=True)['ids']

    def _update(self, changes: Sequence[Change]) -> Iterable[str]:
        return db_api.instance_mapping_update_bulk(
            self._context, [(_seen(each), _differences(each)) for each in changes]
        )

    def _remove(self, changes: Sequence[Change]) -> Iterable[str]:
        return db_api.instance_mapping_destroy_seen(self._context, [*map(_seen, changes)])


def _made_apart(make: _Make, changes: Sequence[Change]) -> dict[str, str]:
    """Make changes of one cell; answer why those that were not made were not."""
    not_made = {each.instance_uuid: OTHERS_FIRST for each in changes}

    def make_some(some: Sequence[Change]) -> None:
        for uuid in make(some):
            del not_made[uuid]

    def refused(change: Change, error: exception.InvalidInput) -> None:
        not_made[change.instance_uuid] = str(error)

    try:
        apart.each(changes, make_some, refused)
    except exception.CellMappingNotFound as error:
        # It was removed meanwhile; others may have been made by then.
        not_made = dict.fromkeys(not_made, str(error))
    return not_made


def _cell(change: Change) -> str | None:
    return None if change.after is None else change.after['cell_uuid']


def _seen(change: Change) -> db_api.Row:
    return {'instance_uuid': change.instance_uuid, **(change.before or {})}


def _differences(change: Change) -> db_api.Row:
    before, after = change.before or {}, change.after or {}
    return {name: value for name, value in after.items() if value != before[name]}
