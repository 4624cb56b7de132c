# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-status."""

from collections.abc import Iterator
import sys
from typing import TYPE_CHECKING, Any

from oslo_upgradecheck.upgradecheck import Code
from oslo_upgradecheck.upgradecheck import Result

from nova_cellmap import exception
from nova_cellmap.cli import app
from nova_cellmap.cli import base
from nova_cellmap.cli import durations

if TYPE_CHECKING:
    import argparse

    from nova_cellmap.context import RequestContext
    from nova_cellmap.db.nova_schema import NovaSchema


class UpgradeCheck(base.Lister):
    """Tell whether everything is in place for the services to be started.

    Run it after `db sync` and before the services of a new release are started.
    """

    examples = ('nova-cellmap-status upgrade check', 'nova-cellmap-status upgrade check -f json')
    exit_statuses = {
        1: 'there are warnings: look into them',
        2: 'something failed, and the services would not work',
        base.Status.USAGE: 'the configuration is wrong',
        255: 'the checks could not be made, for a reason that was not foreseen',
    }
    statuses = {exception.CellMapError: 255}
    tells_database = True

    def take_action(
        self, parsed_args: 'argparse.Namespace'
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        rows = []
        for check, result in _checks(self.context):
            self.status = max(self.status, int(result.code))
            rows.append((check, result.code.name.lower(), result.details or ''))
        return ('check', 'result', 'details'), rows


def _checks(context: 'RequestContext') -> Iterator[tuple[str, Result]]:
    from nova_cellmap.objects import CellMappingList

    schema = _check_schema(context)
    yield 'schema is current', schema
    if schema.code == Code.FAILURE:
        # The others would only fail for the same reason.
        return
    yield 'text is kept', _check_text(context)
    cells = CellMappingList.get_all(context)
    yield 'cells are mapped', _check_cells(cells.objects)
    yield 'cell0 is mapped', _check_cell0([cell for cell in cells if cell.is_cell0()])
    unread: dict[str, exception.CellError] = {}
    for cell in cells:
        error = _reach(cell)
        if error is not None:
            unread[cell.uuid] = error
        yield f'cell {cell.name or cell.uuid} is reachable', _check_reached(cell, error)
    yield 'a sample is correct', _check_sample(context, cells, unread)


def _check_schema(context: 'RequestContext') -> Result:
    from nova_cellmap.db import api as db_api
    from nova_cellmap.db import engine as db_engine

    try:
        # To look into a file that is not there would make it.
        novas = None if db_engine.of(context).is_missing_file else db_api.nova_schema_get(context)
    except exception.CellMapError as error:
        return Result(Code.FAILURE, str(error))
    return _check_own_schema() if novas is None else _check_nova_schema(novas)


def _check_nova_schema(novas: 'NovaSchema') -> Result:
    if novas.lacks:
        return Result(
            Code.WARNING,
            f"Nova's tables, at revision {novas.revision}, lack {', '.join(novas.lacks)}: they "
            'can only be read. Upgrade Nova, and run `nova-manage api_db sync`.',
        )
    return Result(Code.SUCCESS, f"Nova's own, at revision {novas.revision}.")


def _check_own_schema() -> Result:
    from nova_cellmap.db import migration

    try:
        version, latest = migration.db_version(), migration.latest_version()
    except exception.CellMapError as error:
        return Result(Code.FAILURE, str(error))
    if version < latest:
        return Result(
            Code.FAILURE,
            f'It is at version {version}, the latest is {latest}: '
            'run `nova-cellmap-manage db sync`.',
        )
    # The version says what was done once, not what is there.
    from nova_cellmap.db import schema_check

    try:
        problems = schema_check.missing()
    except exception.CellMapError as error:
        return Result(Code.FAILURE, str(error))
    return Result(Code.FAILURE, ' '.join(problems)) if problems else Result(Code.SUCCESS)


def _check_text(context: 'RequestContext') -> Result:
    from nova_cellmap.db import api as db_api
    from nova_cellmap.db import schema_check

    try:
        encoding = schema_check.encoding()
        # Release 0.1.0 has written to none of Nova's tables.
        is_own = db_api.nova_schema_get(context) is None
        damaged = schema_check.count_damaged() if is_own else 0
    except exception.CellMapError as error:
        return Result(Code.WARNING, f'It could not be looked at: {error}')
    if encoding:
        return Result(
            Code.WARNING,
            f'The database is in {encoding}: a name with other characters is refused. Create one '
            "with ENCODING 'UTF8', and copy the tables with pg_dump.",
        )
    if damaged:
        return Result(
            Code.WARNING,
            f'{damaged} mappings have a question mark in their project or user. Release 0.1.0 '
            'may have put it where a character was: `nova-cellmap-manage cell_v2 audit` tells '
            'those that the cells know by another name (wrong_owner), and with `--repair` '
            'corrects them.',
        )
    return Result(Code.SUCCESS)


def _check_cells(cells: list[Any]) -> Result:
    from nova_cellmap.cells import database

    # A command refuses a second cell of one database; nothing else does.
    places: dict[str, str] = {}
    for cell in cells:
        place = database.place_of(cell)
        other = cell.identity if place is None else places.setdefault(place, cell.identity)
        if other != cell.identity:
            return Result(
                Code.FAILURE,
                f'Cells {other} and {cell.identity} have one database, and so the same instances. '
                'Correct the URL of one with `nova-cellmap-manage cell_v2 update_cell`, or remove '
                'it with `delete_cell`.',
            )
    if any(not cell.is_cell0() for cell in cells):
        return Result(Code.SUCCESS)
    # As Nova's own check has it: cell0 alone is no cloud.
    return Result(
        Code.FAILURE,
        'There are none besides cell0: `nova-cellmap-manage cell_v2 create_cell`.',
    )


def _check_cell0(cells: list[Any]) -> Result:
    if cells:
        return Result(Code.SUCCESS)
    return Result(Code.FAILURE, 'It is not: `nova-cellmap-manage cell_v2 map_cell0`.')


def _reach(cell: Any) -> exception.CellError | None:
    """Why a cell cannot be read, if so."""
    from nova_cellmap.cells import database
    from nova_cellmap.cells import instances

    try:
        with database.connect(cell) as connection:
            instances.Instances(connection, cell)
    except exception.CellError as error:
        return error
    return None


def _check_reached(cell: Any, error: exception.CellError | None) -> Result:
    if error is None:
        return Result(Code.SUCCESS)
    return Result(Code.WARNING if cell.disabled else Code.FAILURE, str(error))


def _check_sample(
    context: 'RequestContext', cells: Any, unread: dict[str, exception.CellError]
) -> Result:
    from nova_cellmap.upkeep import age
    from nova_cellmap.upkeep import drift

    patience = age.Patience(durations.duration('--min-age', durations.MIN_AGE))
    try:
        found = drift.look(context, cells, unread=unread, patience=patience)
    except exception.DatabaseError as error:
        return Result(Code.WARNING, f'It could not be looked at: {error}')
    if not found.kinds:
        return Result(Code.SUCCESS)
    kinds = ', '.join(f'{number} {kind}' for kind, number in sorted(found.kinds.items()))
    return Result(
        Code.WARNING,
        f'Of {found.instances} instances the mapping and the cells differ: {kinds}. '
        '`nova-cellmap-manage cell_v2 audit` tells all of them, and with `--repair` corrects '
        'most; what no mapping was ever made of, `cell_v2 map_instances` maps.',
    )


def program() -> app.App:
    return app.App(
        'nova-cellmap-status',
        'Tell whether nova_cellmap is ready.',
        {'upgrade check': 'nova_cellmap.cli.status:UpgradeCheck'},
    )


def main(argv: list[str] | None = None) -> int:
    return app.main(program(), argv)


if __name__ == '__main__':
    sys.exit(main())
