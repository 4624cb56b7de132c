# SPDX-License-Identifier: Apache-2.0
"""Tests on a mapping database and on the databases of cells, all of one kind."""

import atexit
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.cells import target
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.functional import base
from nova_cellmap.upkeep import registration

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
        table = self.mapping_table
        rows = self.execute(sa.select(table.c.instance_uuid, table.c.cell_uuid))
        cells = {row.instance_uuid: row.cell_uuid for row in rows}
        self.assertEqual(len(rows), len(cells))
        return cells

    def owners(self) -> dict[str, tuple[str, str | None]]:
        """The project and the user of each instance that has a mapping."""
        table = self.mapping_table
        columns = table.c.instance_uuid, table.c.project_id, table.c.user_id
        rows = self.execute(sa.select(*columns))
        return {row.instance_uuid: (row.project_id, row.user_id) for row in rows}

    def progress(self) -> Any:
        """The resume point of ``cell1``; None where there is none."""
        return db_api.map_progress_get(self.context, self.cell.uuid)


def url_of(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def empty(nova: sa.Engine) -> None:
    """Remove the instances of a cell."""
    with nova.begin() as connection:
        for table in (nova_cell.migrations, nova_cell.instances):
            connection.execute(table.delete())


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


class InCells(TestCase):
    """Tests that work in cells, over connections that are kept for them."""

    def setUp(self) -> None:
        super().setUp()
        # Before the databases are given back: what is open would keep them from being emptied.
        self.addCleanup(target.forget_all)

    def override(self, **options: Any) -> None:
        for name, value in options.items():
            self.conf.set_override(name, value, group='cells')

    def in_cell(self, cell: CellMapping | None = None) -> Any:
        return target.target_cell(self.context, cell or self.cell)

    def uuids(self, cell: CellMapping | None = None) -> set[str]:
        """The instances in a cell, through its target."""
        with self.in_cell(cell) as context:
            return uuids_of(context)

    def loaded(self, cell: CellMapping | None = None) -> CellMapping:
        return CellMapping.get_by_uuid(self.context, (cell or self.cell).uuid)

    def move(self, nova: sa.Engine) -> CellMapping:
        """Have ``cell1`` be in another database; answer its mapping."""
        # A mapping's times have no fraction of a second; here it is older than the change.
        self.execute(sa.text("UPDATE cell_mapping SET created_at = '2020-01-01'"))
        changes = {'database_connection': url_of(nova)}
        return registration.update_cell(self.context, self.conf, self.loaded(), **changes)


def uuids_of(context: RequestContext) -> set[str]:
    """The instances in the cell that a context is targeted at."""
    with context.cell.reader() as connection:
        return set(connection.execute(sa.select(nova_cell.instances.c.uuid)).scalars())
