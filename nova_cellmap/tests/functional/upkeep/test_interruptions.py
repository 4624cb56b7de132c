# SPDX-License-Identifier: Apache-2.0
"""Cells whose connections end, and cells that fall silent, in the midst of it."""

from collections.abc import Callable
import contextlib
import re
from typing import Any

import fixtures
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import listing
from nova_cellmap.cells import lookup
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests import nova_api
from nova_cellmap.tests import proxy as tests_proxy
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import mapping
from nova_cellmap.upkeep import nova_import

_ROWS = 12


def _once(happens: Callable[[], Any]) -> Callable[[Any], None]:
    """What is called after each batch, to have something happen after the first."""
    left = [happens]

    def on_batch(run: Any) -> None:
        if left:
            left.pop()()

    return on_batch


class _Case(cells_base.TestCase):
    """A test with cell1, behind a proxy, and cell2."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(target.forget_all)
        self.addCleanup(lambda: scatter.forget_troubles(scatter.troubles()))
        for name, seconds in (('connect_timeout', 2), ('read_timeout', 3)):
            self.conf.set_override(name, seconds, 'cells')
        self.direct = cells_base.url_of(self.nova)
        self.proxy = self.useFixture(tests_proxy.Proxy.to(self.direct))
        self.lead_to(self.proxy.url(self.direct))
        self.cell2, self.nova2 = self.new_cell('cell2')
        for nova in (self.nova, self.nova2):
            for _ in range(_ROWS):
                nova_cell.add(nova)

    def lead_to(self, url: str) -> None:
        self.cell.database_connection = url
        self.cell.save()

    def audit(self, happens: Callable[[], Any], **options: Any) -> audit.Audit:
        """An audit in small batches, in the midst of which something happens once."""
        run = audit.Audit(
            self.context,
            CellMappingList.get_all(self.context),
            **{'batch_size': 2, **options},
        )
        batches = []

        def on_batch(part: float) -> None:
            batches.append(part)
            if len(batches) == 3:
                happens()

        self.kinds = [problem.kind for problem in run.problems(on_batch)]
        return run

    def kill(self) -> None:
        """Have the server end all connections to the cell's database but our own."""
        with self.nova.connect() as connection:
            if self.kind == 'postgresql':
                connection.exec_driver_sql(
                    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
                    'WHERE datname = current_database() AND pid <> pg_backend_pid()'
                )
                return
            ids = connection.exec_driver_sql(
                'SELECT id FROM information_schema.processlist '
                'WHERE db = DATABASE() AND id <> CONNECTION_ID()'
            ).scalars()
            for number in ids.all():
                with contextlib.suppress(sa.exc.DBAPIError):
                    connection.exec_driver_sql(f'KILL {number}')


class _Ended(_Case):
    """The connection is gone: another one does as well."""

    def assert_complete(self, run: audit.Audit) -> None:
        self.assertEqual({}, run.errors)
        self.assertEqual(2 * _ROWS, run.instances)
        self.assertEqual(2 * _ROWS, len(self.kinds))

    def test_an_audit_whose_connection_the_server_ends(self) -> None:
        self.assert_complete(self.audit(self.kill))

    def test_an_audit_whose_connection_something_between_drops(self) -> None:
        self.assert_complete(self.audit(self.proxy.cut, repair=True))
        self.assertGreater(self.proxy.connections, 1)

    def test_map_instances(self) -> None:
        for happens in (self.kill, self.proxy.cut):
            run = mapping.map_instances(
                self.context, self.cell, batch_size=2, on_batch=_once(happens)
            )
            self.assertEqual((_ROWS, True), (run.created + run.existing, run.done))
        self.assertEqual(_ROWS, len(self.mapped()))

    def test_import_nova(self) -> None:
        api = self.new_nova_api()
        number = nova_api.add_cell(api)
        nova_api.fill(api, _ROWS, cells=[number])
        api_proxy = self.useFixture(tests_proxy.Proxy.to(cells_base.url_of(api)))
        run = nova_import.import_nova(
            self.context,
            api_proxy.url(cells_base.url_of(api)),
            batch_size=2,
            on_batch=_once(api_proxy.cut),
        )
        self.assertEqual((_ROWS, True), (run.created, run.done))

    def test_what_led_to_connecting_again_is_told_where_that_fails_too(self) -> None:
        log = self.useFixture(fixtures.FakeLogger('nova_cellmap.cells.database'))
        run = self.audit(lambda: self.proxy.act(tests_proxy.Mode.CUT))
        self.assertEqual({self.cell.uuid}, run.errors.keys())
        self.assertIn('cannot be read', str(run.errors[self.cell.uuid]))
        [first] = re.findall('again: (.*)', log.output)
        self.assertIn(first, str(run.errors[self.cell.uuid]))
        self.assertEqual(_ROWS, run.reports[self.cell2.uuid].instances)

    def test_a_list_after_a_rest(self) -> None:
        self.assertEqual(2 * _ROWS, len(listing.list_instances(self.context).instances))
        for happens in (self.kill, self.proxy.cut):
            happens()
            found = listing.list_instances(self.context)
            self.assertEqual((2 * _ROWS, {}), (len(found.instances), found.failures))


class EndedMariadb(_Ended):
    kind = 'mariadb'

    def test_a_server_that_ends_what_rests(self) -> None:
        url = sa.make_url(self.direct).update_query_dict(
            {'init_command': 'SET SESSION wait_timeout=1'}
        )
        self.lead_to(url.render_as_string(hide_password=False))
        run = self.audit(lambda: None, batch_size=6, sleep=1.5)
        self.assert_complete(run)


class EndedPostgresql(_Ended):
    kind = 'postgresql'


del _Ended


class _Silent(_Case):
    """The server says nothing any more: nobody waits longer than for its time-outs."""

    def assert_in_time(self, run: audit.Audit) -> None:
        self.assertEqual({self.cell.uuid}, run.errors.keys())
        self.assertIsInstance(run.errors[self.cell.uuid], exception.CellUnreachable)
        self.assertEqual(_ROWS, run.reports[self.cell2.uuid].instances)

    def test_in_the_midst_of_an_audit(self) -> None:
        self.assert_in_time(self.audit(lambda: self.proxy.act(tests_proxy.Mode.HOLE)))

    def test_at_any_point_of_the_protocol(self) -> None:
        for number in (0, 10, 200, 1500):
            self.proxy.hole_after = number
            self.assert_in_time(self.audit(lambda: None, batch_size=1000))

    def test_a_byte_at_a_time(self) -> None:
        self.proxy.delay, self.proxy.drip = 0.5, True
        self.assert_in_time(self.audit(lambda: None))

    def test_every_other_way_into_a_cell(self) -> None:
        mapped = self.make_mapping(cell_uuid=self.cell.uuid)
        listing.list_instances(self.context)
        self.proxy.act(tests_proxy.Mode.HOLE)
        for call in (
            lambda: mapping.map_instances(self.context, self.cell),
            lambda: lookup.find_instance(self.context, mapped),
            self.count,
        ):
            self.assertRaises(exception.CellUnreachable, call)
        found = listing.list_instances(self.context, timeout=20)
        self.assertEqual(({self.cell.uuid}, _ROWS), (found.failures.keys(), len(found.instances)))

    def count(self) -> Any:
        with (
            target.target_cell(self.context, self.cell) as cctxt,
            cctxt.cell.reader() as connection,
        ):
            return connection.execute(sa.text('SELECT count(*) FROM instances')).scalar()


class SilentMariadb(_Silent):
    kind = 'mariadb'


class SilentPostgresql(_Silent):
    kind = 'postgresql'


del _Silent
