# SPDX-License-Identifier: Apache-2.0
"""Tests on a mapping database and on the databases of cells, all of one kind."""

import atexit
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.functional import base

_mappings = own.instance_mapping

_OnEngine = Callable[[sa.Engine], None]

# Nova's databases, by kind and shape, that no test uses now: making one takes longer than a test.
_spare: dict[tuple[str, str], list[sa.Engine]] = {}


class TestCase(base.TestCase):
    """A test with one cell, ``cell1``; its database is ``nova``, of Nova's shape and empty."""

    def setUp(self) -> None:
        super().setUp()
        self.nova = self.new_nova()
        self.cell = self.make_cell(name='cell1', database_connection=url_of(self.nova))

    def new_nova(self) -> sa.Engine:
        """A cell's database without instances."""
        return self._new('cell', nova_cell.create, empty)

    def new_nova_api(self) -> sa.Engine:
        """Nova's API database, without cells and mappings."""
        return self._new('api', nova_api.create, nova_api.empty)

    def new_cell(self, name: str) -> tuple[CellMapping, sa.Engine]:
        """One cell more, with its database."""
        nova = self.new_nova()
        return self.make_cell(name=name, database_connection=url_of(nova)), nova

    def new_database(self, *columns: Any) -> sa.Engine:
        """A database of the test's own, with a table ``instances`` of these columns if any."""
        database = self.useFixture(fixtures.Database(self.kind))
        engine = fixtures.engine(database.url, poolclass=sa.NullPool)
        tables = sa.MetaData()
        sa.Table(
            'instances' if columns else 'others',
            tables,
            *columns,
            sa.Column('x', sa.Text),
            **nova_cell.MYSQL,
        )
        tables.create_all(engine)
        return engine

    def _new(self, shape: str, create: _OnEngine, empty: _OnEngine) -> sa.Engine:
        spare = _spare.setdefault((self.kind, shape), [])
        engine = spare.pop() if spare else _make(self.kind, create)
        self.addCleanup(spare.append, engine)
        self.addCleanup(empty, engine)
        return engine

    def mapped(self) -> dict[str, str | None]:
        """The cell of each instance that has a mapping."""
        rows = self.execute(sa.select(_mappings.c.instance_uuid, _mappings.c.cell_uuid))
        cells = {row.instance_uuid: row.cell_uuid for row in rows}
        self.assertEqual(len(rows), len(cells))
        return cells

    def owners(self) -> dict[str, tuple[str, str | None]]:
        """The project and the user of each instance that has a mapping."""
        columns = _mappings.c.instance_uuid, _mappings.c.project_id, _mappings.c.user_id
        rows = self.execute(sa.select(*columns))
        return {row.instance_uuid: (row.project_id, row.user_id) for row in rows}

    def progress(self) -> Any:
        """The resume point of ``cell1``; None where there is none."""
        table = own.map_progress
        rows = self.execute(table.select().where(table.c.cell_uuid == self.cell.uuid))
        return rows[0] if rows else None


def url_of(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def empty(nova: sa.Engine) -> None:
    """Remove the instances of a cell."""
    with nova.begin() as connection:
        connection.execute(nova_cell.instances.delete())


def instances_in(nova: sa.Engine) -> dict[str, int]:
    """The id of each instance of a cell that is not hidden, by uuid."""
    table = nova_cell.instances
    query = sa.select(table.c.uuid, table.c.id).where(table.c.hidden.is_not(True))
    with nova.connect() as connection:
        return {row.uuid: row.id for row in connection.execute(query.order_by(table.c.id))}


def _make(kind: str, create: _OnEngine) -> sa.Engine:
    database = fixtures.Database(kind)
    database.setUp()
    atexit.register(database.cleanUp)
    engine = fixtures.engine(database.url)
    atexit.register(engine.dispose)
    create(engine)
    return engine
