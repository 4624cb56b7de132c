# SPDX-License-Identifier: Apache-2.0
"""The changes that a run has found to be needed, and makes at its end or not at all.

How many they are is known only when all has been read. Reading all a second time to make them
would take as long again; so the instances are noted meanwhile. Just their uuids: each is looked at
again before it is changed, since that may be hours later, and so nothing else has to be kept.
A million of them take 37 MB, in a file without a name, which is gone with the process.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
import contextlib
import itertools
import json
import tempfile
from typing import Self

from nova_cellmap import exception
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Kind

# In memory there are so many bytes at most.
_IN_MEMORY = 1 << 20


class Changes:
    """Instances whose mappings are to be changed, while the block lasts.

    :ivar number: how many there are; of each one row is written
    :ivar kinds: how many of their problems there are of each kind
    """

    def __init__(self) -> None:
        self.number = 0
        self.kinds: Counter[Kind] = Counter()

    def __enter__(self) -> Self:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, 'w+')
        return self

    def __exit__(self, *args: object) -> None:
        self._file.close()

    def add(self, cases: Iterable[Case]) -> None:
        """:raises: CellMapError where there is no room for them"""
        for case in cases:
            with _errors():
                # In the mapping there may be what is no uuid, with a line's end in it.
                self._file.write(f'{json.dumps(case.uuid)}\n')
            self.number += 1
            self.kinds.update(problem.kind for problem in case.problems)

    def batches(self, size: int) -> Iterator[list[str]]:
        """The uuids of the instances, in the order in which they came."""
        with _errors():
            self._file.seek(0)
        uuids = map(json.loads, self._file)
        while batch := list(itertools.islice(uuids, size)):
            yield batch


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise exception.CellMapError(
            f'What is to be changed cannot be noted in {tempfile.gettempdir()}: {error.strerror}. '
            'Nothing was changed. Make room there, or set TMPDIR to a folder that has it.'
        ) from error
