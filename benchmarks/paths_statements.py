# SPDX-License-Identifier: Apache-2.0
"""What the driver alone is told: the statements that we send."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.paths_data import Mappings
from nova_cellmap.db.schemas import own

Sent = list[tuple[str, Any]]

_MAPPINGS, _CELLS = own.instance_mapping, own.cell_mapping
_COUNTING_INDEX = 'instance_mapping_project_id_queued_for_delete_cell_uuid_idx'
# How to tell a database to count along the index of the project alone; PostgreSQL cannot be told.
_PLAIN = {
    'sqlite': 'instance_mapping INDEXED BY instance_mapping_project_id_id_idx',
    'mysql': f'instance_mapping IGNORE INDEX ({_COUNTING_INDEX})',
}


class Statements:
    """Learnt once from our side: the statements of a call, with its arguments among the
    parameters.

    :param ask: has another one of our side take a path
    """

    def __init__(
        self, ask: Callable[[str, Sequence[Any]], dict[str, Any]], mappings: Mappings, kind: str
    ) -> None:
        self._ask = ask
        self._kind = kind
        self._rows = {'lookup': 1, 'count': 1, 'project': len(mappings.ten_thousand)}
        self._learnt: dict[str, tuple[list[str], Sent]] = {}

    @property
    def has_plain_count(self) -> bool:
        return self._kind in _PLAIN

    def of(self, path: str, arguments: list[Any]) -> list[Any]:
        """The statements of a call with these arguments, and how many rows one gives."""
        if path == 'lookup':
            return [self._with('lookup', arguments, arguments), 1]
        if path == 'hundred':
            return [self._with('hundred', arguments, arguments[0]), len(arguments[0])]
        if path == 'project':
            return [self._project_join(arguments), self._rows['project']]
        if path == 'count_plain':
            [(statement, parameters)] = self._with('count', arguments, [])
            return [
                [(statement.replace('instance_mapping', _PLAIN[self._kind], 1), parameters)],
                1,
            ]
        sent = self._with(path, arguments, [])
        return [sent, 1 if path == 'count' else arguments[-1]]

    def _with(self, path: str, arguments: list[Any], uuids: Sequence[str]) -> Sent:
        if path not in self._learnt:
            # What is read once for all calls is not read the third time.
            for _ in range(3):
                sent = self._ask('statements', [[path, *arguments]])['answer']
            selects = [each for each in sent if each[0].startswith('SELECT')]
            self._learnt[path] = list(uuids), selects
        old, sent = self._learnt[path]
        return _rebound(sent, dict(zip(old, uuids, strict=True)))

    def _project_join(self, arguments: list[Any]) -> Sent:
        """All of a project as one would write it: each mapping joined to its cell."""
        [project_id] = arguments
        columns = ', '.join(map(str, (*_MAPPINGS.columns, *_CELLS.columns)))
        join = 'instance_mapping LEFT JOIN cell_mapping ON cell_uuid = uuid'
        where = f"project_id = '{project_id}' ORDER BY instance_mapping.id"
        return [(f'SELECT {columns} FROM {join} WHERE {where}', ())]


def _rebound(sent: Sent, values: Mapping[str, str]) -> Sent:
    """The statements with other values for their parameters."""
    return [(statement, _exchanged(parameters, values)) for statement, parameters in sent]


def _exchanged(parameters: Any, values: Mapping[str, str]) -> Any:
    if isinstance(parameters, Mapping):
        return {name: values.get(value, value) for name, value in parameters.items()}
    return [values.get(value, value) for value in parameters]
