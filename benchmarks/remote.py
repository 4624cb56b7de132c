# SPDX-License-Identifier: Apache-2.0
"""A mapping database with cells in it, and a conductor that works on it."""

from collections.abc import Iterator, Mapping
import contextlib
from typing import Any
import uuid

from nova_cellmap.context import get_admin_context
from nova_cellmap.db import migration
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures

CELLS = ('cell1', 'cell2', 'cell3')


@contextlib.contextmanager
def conductor(
    kind: str, options: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[fixtures.Conductor, dict[str, str]]]:
    """A conductor on a new database of that kind, and the uuids of its cells by their names.

    :param options: more of the conductor's, as ``{group: {option: value}}``
    """
    groups = {group: dict(values) for group, values in options.items()}
    with fixtures.Database(kind) as database:
        migration.db_sync(engine=database.engine())
        cells = {name: _create_cell(name) for name in CELLS}
        with fixtures.Conductor(database, groups) as running:
            yield running, cells


def urls(name: str) -> dict[str, str]:
    """What a deployment has for a cell of that name; nobody connects there."""
    return {
        'transport_url': f'rabbit://nova:password@rabbitmq.{name}.example.org:5672/{name}',
        'database_connection': 'mysql+pymysql://nova:password@'
        f'mariadb.{name}.example.org/nova_{name}?charset=utf8mb4',
    }


def _create_cell(name: str) -> str:
    cell = CellMapping(get_admin_context(), uuid=str(uuid.uuid4()), name=name, **urls(name))
    cell.create()
    return cell.uuid
