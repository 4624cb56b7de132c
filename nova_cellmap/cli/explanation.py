# SPDX-License-Identifier: Apache-2.0
"""One instance, explained for the person on call."""

import argparse
from collections.abc import Iterator, Mapping
import shlex
from typing import TYPE_CHECKING, Any

from nova_cellmap import text
from nova_cellmap.cli import base
from nova_cellmap.cli import durations
from nova_cellmap.cli import formats

if TYPE_CHECKING:
    from nova_cellmap.cells.traces import Traces
    from nova_cellmap.upkeep.explanation import Explanation

_VERDICTS = {
    'correct': 'The mapping is correct, as far as the cells can tell.',
    'in_flight': 'Something differs that Nova is at work on, or that was changed a moment ago: '
    f'leave it alone, and look again in {durations.MIN_AGE}.',
    'unknown': 'Nobody can tell: a cell that may have it could not be read.',
    'nowhere': 'There is no such instance: no mapping, and no cell has anything of it.',
}
_MOST_SHOWN = 255
_TIMES = ('created_at', 'updated_at')


class Explain(base.ShowOne):
    """Tell all there is of one instance, and what is wrong with its mapping.

    Shows the mapping; its rows in every cell, also hidden, deleted and archived ones, with the
    compute service of its host and its last migrations; on Nova's own tables the build request,
    the request spec and the server group; the audit's verdict, and the command that would
    repair it. It only reads. A cell that does not answer is named, and the rest is shown.
    """

    examples = (
        'nova-cellmap-manage cell_v2 explain 74f0b3a6-c576-4930-a749-35624f38b6bc',
        'nova-cellmap-manage cell_v2 explain UUID -f json',
        'nova-cellmap-manage cell_v2 explain UUID -f value -c repair',
    )
    exit_statuses = {
        0: 'it is explained, whatever is wrong with it',
        1: 'there is nothing of it anywhere',
        5: 'a cell could not be read; all else is shown',
    }
    columns = (
        'instance_uuid',
        'mapping',
        'cells',
        'build_request',
        'request_spec',
        'server_group',
        'verdict',
        'problems',
        'repair',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('uuid', metavar='UUID', help='The uuid of the instance.')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        from nova_cellmap.upkeep import age
        from nova_cellmap.upkeep import explanation

        # As the audit judges that would repair it.
        patience = age.Patience(durations.duration('--min-age', durations.MIN_AGE))
        found = explanation.explain(self.context, parsed_args.uuid, patience)
        if found.state == 'nowhere':
            self.status = 1
        if not found.are_all_cells_read:
            self.status = 5
        if found.state in _VERDICTS:
            self.say(_VERDICTS[found.state])
        names = {each.cell.uuid: each.cell.name for each in found.cells}
        nova = found.nova or {}
        return self.columns, (
            found.uuid,
            _mapping(found, names),
            formats.Nested(
                [_of_cell(each) for each in found.cells],
                [line for each in found.cells for line in _lines_of_cell(each)],
            ),
            *(_nested(nova.get(name)) for name in ('build_request', 'request_spec')),
            _nested(nova.get('server_group')),
            found.state.value,
            _problems(found, names),
            self._repair(found),
        )

    def _repair(self, found: 'Explanation') -> str | None:
        if found.repair is None:
            return None
        options = self.app.options
        given = [
            word
            for option, values in (
                ('--config-file', options.config_file),
                ('--config-dir', options.config_dir),
            )
            for value in values or ()
            for word in (option, value)
        ]
        return shlex.join([self.app.NAME, *given, *found.repair])


def _mapping(found: 'Explanation', names: Mapping[str, str | None]) -> Any:
    row = found.mapping
    if row is None:
        return None
    cell_uuid = row['cell_uuid']
    shown = {'cell_uuid': cell_uuid, 'cell_name': names.get(str(cell_uuid))}
    shown |= {name: row[name] for name in ('project_id', 'user_id')}
    queued = row['queued_for_delete']
    shown['queued_for_delete'] = None if queued is None else bool(queued)
    return _nested({**shown, **{name: row[name] for name in _TIMES}})


def _nested(values: Mapping[str, Any] | None) -> Any:
    if values is None:
        return None
    shown = _plain(values)
    return formats.Nested(shown, [f'{name}: {_word(value)}' for name, value in shown.items()])


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON has them; a text that is none of its database's encoding as a line."""
    return {
        name: value
        if value is None or isinstance(value, bool | int)
        else text.line(str(value), _MOST_SHOWN)
        for name, value in values.items()
    }


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return '-' if value is None else str(value)


def _of_cell(traces: 'Traces') -> dict[str, Any]:
    return {
        'cell_uuid': traces.cell.uuid,
        'cell_name': traces.cell.name,
        'error': None if traces.error is None else str(traces.error),
        'instances': traces.instances,
        'shadow_instances': traces.shadow_instances,
        'services': traces.services,
        'migrations': traces.migrations,
    }


def _lines_of_cell(traces: 'Traces') -> Iterator[str]:
    groups = (
        ('instance', traces.instances),
        ('archived', traces.shadow_instances),
        ('service', traces.services),
        ('migration', traces.migrations),
    )
    rows = [(title, row) for title, rows in groups for row in rows]
    nothing = '' if rows or traces.error else ' nothing'
    yield f'{traces.cell.identity}:{nothing}'
    if traces.error:
        yield f'  {traces.error}'
    for title, row in rows:
        told = [(name, value) for name, value in row.items() if value not in (None, False, '')]
        yield f'  {title}:'
        # A few to a line, for a terminal of usual width.
        for start in range(0, len(told), 3):
            yield '    ' + ', '.join(
                name if value is True else f'{name} {value}'
                for name, value in told[start : start + 3]
            )


def _problems(found: 'Explanation', names: Mapping[str, str | None]) -> Any:
    told = [
        {'problem': each.kind.value, 'cell_uuid': each.cell_uuid, 'detail': each.detail}
        for each in found.problems
    ]
    lines = [
        f'{each.kind.value}, {names.get(each.cell_uuid) or each.cell_uuid}: {each.detail}'
        for each in found.problems
    ]
    return formats.Nested(told, lines)
