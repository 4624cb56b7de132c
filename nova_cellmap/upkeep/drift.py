# SPDX-License-Identifier: Apache-2.0
"""Whether the mapping and the cells have drifted apart, by a sample of the instances."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
import contextlib
import dataclasses
import itertools
import uuid

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.case import Problem
from nova_cellmap.upkeep.cell_report import CellReport
from nova_cellmap.upkeep.comparison import Comparison
from nova_cellmap.upkeep.judge import Judge
from nova_cellmap.upkeep.readers import Readers

# How many places in the order of the uuids are looked at, and about how many instances at each.
_PLACES = 5
SIZE = 200
# Where a cell has many rows that are in no order, these come first, and no end may be in sight.
_MOST_BATCHES = 20
# How many instances are looked at one by one at a time.
_MOST_SUSPECTS = 500


@dataclasses.dataclass(frozen=True)
class Drift:
    """What a sample says: of so many ``instances``, how many problems there are by ``kinds``."""

    instances: int
    kinds: Mapping[str, int]

    @property
    def problems(self) -> int:
        return sum(self.kinds.values())


def look(
    context: RequestContext,
    cells: Iterable[CellMapping],
    *,
    unread: Mapping[str, exception.CellError],
    patience: Patience,
) -> Drift:
    """Compare some of the mapping with the cells: all of it where it is small.

    Uuids are drawn at random, and so are the places in their order that are looked at.

    :param cells: all cells of the cloud
    :param unread: why some of them cannot be read, by their uuids; they are not asked again
    :param patience: how long is waited for Nova
    :raises: DatabaseError
    """
    with Readers(context, cells) as readers:
        readers.errors.update(unread)
        sample = _Sample(context, readers, Judge(context, readers, patience))
        sample.take(['', *sorted(str(uuid.uuid4()) for _ in range(_PLACES - 1))])
        return Drift(sample.size, Counter(problem.kind.value for problem in sample.problems()))


class _Sample:
    def __init__(self, context: RequestContext, readers: Readers, judge: Judge) -> None:
        self._judge = judge
        self._reports = {
            uuid_: CellReport(cell)
            for uuid_, cell in readers.cells.items()
            if uuid_ not in readers.errors
        }
        self._comparison = Comparison(
            context, readers, self._reports, batch_size=SIZE, sleep=0, project_id=None
        )
        self._suspects: dict[str, None] = {}
        self._invalid: list[Problem] = []

    @property
    def size(self) -> int:
        """How many instances have been compared."""
        reports = self._reports.values()
        return sum(max(report.instances, report.mappings) for report in reports)

    def take(self, places: Iterable[str]) -> None:
        """Compare what is behind each of these uuids, which are in order."""
        come_to: str | None = ''
        for place in places:
            if come_to is None:
                return
            if place >= come_to:
                come_to = self._take(place)

    def _take(self, place: str) -> str | None:
        """Compare what is behind a uuid; answer up to which that was, None at the end of all."""
        come_to, enough = place, self.size + SIZE
        batches = self._comparison.batches(lambda part: None, place)
        with contextlib.closing(batches):
            for batch in itertools.islice(batches, _MOST_BATCHES):
                self._suspects.update(dict.fromkeys(batch.suspects))
                self._invalid += batch.invalid
                come_to = batch.last or come_to
                if self.size >= enough:
                    return come_to
            return come_to if next(batches, None) else None

    def problems(self) -> Iterator[Problem]:
        yield from self._invalid
        suspects = list(self._suspects)
        for start in range(0, len(suspects), _MOST_SUSPECTS):
            for case in self._judge.cases(suspects[start : start + _MOST_SUSPECTS]):
                yield from case.problems
