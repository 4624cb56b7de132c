# SPDX-License-Identifier: Apache-2.0
"""Tests of hosts, which Nova's own tables map to cells."""

import datetime
from typing import Any

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import hosts
from nova_cellmap.upkeep.age import Patience

LONG_AGO = datetime.datetime(2026, 1, 1)

_METADATA = sa.MetaData()
SERVICES = sa.Table(
    'services',
    _METADATA,
    *(sa.Column(name, sa.DateTime) for name in ('created_at', 'updated_at', 'last_seen_up')),
    sa.Column('id', sa.Integer, primary_key=True),
    *(sa.Column(name, sa.String(255)) for name in ('host', 'binary')),
    sa.Column('deleted', sa.Integer),
    **nova_cell.MYSQL,
)
NODES = sa.Table(
    'compute_nodes',
    _METADATA,
    sa.Column('created_at', sa.DateTime),
    sa.Column('id', sa.Integer, primary_key=True),
    *(sa.Column(name, sa.String(255)) for name in ('host', 'hypervisor_hostname')),
    sa.Column('deleted', sa.Integer),
    **nova_cell.MYSQL,
)
_INSTANCES = sa.Table(
    'instances',
    _METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    *(sa.Column(name, sa.String(255)) for name in ('uuid', 'host')),
    sa.Column('deleted', sa.Integer),
    **nova_cell.MYSQL,
)


class TestCase(cells_base.TestCase):
    """A test with two cells that have hosts."""

    schema = 'nova'

    def setUp(self) -> None:
        super().setUp()
        self.execute(self.cell_table.delete())
        self.one, self.one_nova = self.new_hosts_cell('one')
        self.other, self.other_nova = self.new_hosts_cell('other')

    def new_hosts_cell(self, name: str) -> tuple[CellMapping, sa.Engine]:
        database = self.useFixture(fixtures.Database(self.kind))
        engine = fixtures.engine(database.url, poolclass=sa.NullPool)
        _METADATA.create_all(engine)
        return self.make_cell(name=name, database_connection=database.url), engine

    def add(self, nova: sa.Engine, host: str, *, nodes: int = 1, **values: Any) -> None:
        """Have a cell have a host."""
        row = {'created_at': LONG_AGO, 'host': host, 'deleted': 0}
        service = {**row, 'binary': 'nova-compute', 'last_seen_up': timeutils.utcnow(), **values}
        with nova.begin() as connection:
            connection.execute(SERVICES.insert().values(service))
            for number in range(nodes):
                node = {**row, 'hypervisor_hostname': f'{host}-{number}'}
                connection.execute(NODES.insert().values(node))

    def add_instance(self, nova: sa.Engine, host: str, deleted: int = 0) -> None:
        with nova.begin() as connection:
            connection.execute(_INSTANCES.insert().values(uuid='u', host=host, deleted=deleted))

    def map(self, host: str, cell: CellMapping, **values: Any) -> None:
        names = ('created_at', 'host', 'cell_id', *values)
        table = sa.table('host_mappings', *map(sa.column, names))
        row = {'created_at': LONG_AGO, 'host': host, 'cell_id': cell.id, **values}
        self.execute(table.insert().values(row))

    def mapped_hosts(self) -> dict[str, str]:
        """The cell of each host that is mapped."""
        query = 'SELECT h.host, c.uuid FROM host_mappings h JOIN cell_mappings c ON c.id = cell_id'
        return dict(map(tuple, self.execute(sa.text(query))))

    def audit(self, **options: Any) -> hosts.HostAudit:
        """An audit that has come to its end."""
        cells = CellMappingList.get_all(self.context)
        run = hosts.HostAudit(self.context, cells, **options)
        self.found = list(run.problems())
        return run

    def kinds(self) -> dict[str, str]:
        """What is wrong with which host."""
        self.assertEqual(len(self.found), len({problem.host for problem in self.found}))
        return {problem.host: problem.kind.value for problem in self.found}


PATIENT = Patience(datetime.timedelta(minutes=15))
