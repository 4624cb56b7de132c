# SPDX-License-Identifier: Apache-2.0
"""Two runtimes on two mapping databases, side by side in one process."""

import contextlib
import gc
import os
import pathlib
import threading
from typing import Any
import weakref

import fixtures
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap import runtime
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.conductor import manager
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import api
from nova_cellmap.db import migration
from nova_cellmap.db.engine import Engines
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests import fixtures as our_fixtures
from nova_cellmap.tests.functional import base

_CELL = '00000000-0000-4000-8000-00000000ce11'
_INSTANCE = '00000000-0000-4000-8000-000000000001'
_TIMES = 30


class _Case(base.TestCase):
    """The same cell and the same instance in both, with other names, owners and places.

    :ivar contexts: by the name of the cell there; 'here' is the default runtime
    :ivar novas: of each the database of the cell, which has as many instances as the name letters
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.other = self.new_runtime()
        self.contexts = {'here': self.context, 'elsewhere': get_admin_context(runtime=self.other)}
        self.novas = {name: self.fill(name, context) for name, context in self.contexts.items()}

    def new_runtime(self) -> runtime.Runtime:
        """One on a mapping database of SQLite, empty and with the schema up to date."""
        database = self.useFixture(our_fixtures.Database('sqlite'))
        made = runtime.Runtime(self.of_other(database.conf()))
        migration.db_sync(engine=made.part(Engines).writer)
        return made

    def of_other(self, conf: Any) -> Any:
        """Its configuration."""
        return conf

    def fill(self, name: str, context: RequestContext) -> sa.Engine:
        url = f'sqlite:///{self.folder}/{name}.sqlite'
        nova = our_fixtures.engine(url, poolclass=sa.NullPool)
        nova_cell.create(nova)
        nova_cell.fill(nova, len(name))
        cell = CellMapping(
            context, uuid=_CELL, name=name, transport_url='none:///', database_connection=url
        )
        cell.create()
        InstanceMapping(
            context, instance_uuid=_INSTANCE, project_id=name, user_id=name, cell_mapping=cell
        ).create()
        return nova

    def found(self, context: RequestContext) -> tuple[str, str]:
        """Of the instance the project, and the name of its cell."""
        mapping = InstanceMapping.get_by_instance_uuid(context, _INSTANCE)
        return mapping.project_id, mapping.cell_mapping.name

    def assert_each_finds_its_own(self) -> None:
        for name, context in self.contexts.items():
            self.assertEqual((name, name), self.found(context))


@base.on_each_database
class Rows(_Case):
    def test_each_finds_its_own(self) -> None:
        for _ in range(3):
            self.assert_each_finds_its_own()
        for name, context in self.contexts.items():
            self.assertEqual(1, len(InstanceMappingList.get_by_project_id(context, name)))
            others = InstanceMappingList.get_by_project_id(context, name.swapcase())
            self.assertEqual([], others.objects)

    def test_what_one_changes_of_a_cell_the_other_does_not_see(self) -> None:
        self.assert_each_finds_its_own()
        api.cell_mapping_update(self.context, _CELL, {'name': 'changed'})
        self.assertEqual(('here', 'changed'), self.found(self.context))
        self.assertEqual(('elsewhere',) * 2, self.found(self.contexts['elsewhere']))

    def test_a_block_of_one_is_none_of_the_other(self) -> None:
        here, elsewhere = self.contexts.values()
        with contextlib.suppress(ZeroDivisionError), api.writer(here):
            api.instance_mapping_update(here, _INSTANCE, {'project_id': 'changed'})
            api.instance_mapping_update(elsewhere, _INSTANCE, {'project_id': 'changed'})
            raise ZeroDivisionError
        self.assertEqual(('here',) * 2, self.found(here))
        self.assertEqual(('changed', 'elsewhere'), self.found(elsewhere))

    def test_blocks_of_both_end_each_on_its_own(self) -> None:
        here, elsewhere = self.contexts.values()
        outer = api.writer(here)
        with outer, contextlib.suppress(ZeroDivisionError), api.writer(elsewhere):
            for context in (here, elsewhere):
                api.instance_mapping_update(context, _INSTANCE, {'project_id': 'changed'})
            raise ZeroDivisionError
        self.assertEqual(('changed', 'here'), self.found(here))
        self.assertEqual(('elsewhere',) * 2, self.found(elsewhere))

    def test_in_threads_that_use_both(self) -> None:
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(_TIMES):
                    name, context = [*self.contexts.items()][(number + turn) % 2]
                    api.instance_mapping_update(context, _INSTANCE, {'user_id': f'{name} {turn}'})
                    row = api.instance_mapping_get_by_instance_uuid(context, _INSTANCE)
                    self.assertEqual((name, name), (row['project_id'], row['user_id'].split()[0]))
                    self.assertEqual(name, row['cell_mapping']['name'])
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], errors)

    def test_another_default_leaves_the_other_alone(self) -> None:
        closed = _closed_by(self.other)
        nova_cellmap.configure(self.conf)
        self.assertEqual([], closed)
        self.assert_each_finds_its_own()

    def test_a_template_is_filled_from_its_own_configuration(self) -> None:
        for name, context in self.contexts.items():
            context.runtime.conf.set_override(
                'connection', f'mysql+pymysql://nova@{name}/nova', group='database'
            )
            template = 'mysql+pymysql://{username}@{hostname}/cell'
            api.cell_mapping_update(context, _CELL, {'database_connection': template})
            cell = CellMapping.get_by_uuid(context, _CELL)
            self.assertEqual(f'mysql+pymysql://nova@{name}/cell', cell.database_connection)

    def test_a_service_of_either_answers_what_comes(self) -> None:
        sent = manager.Serializer().serialize_context(self.context)
        for owner, name in ((None, 'here'), (self.other, 'elsewhere')):
            arrived = manager.Serializer(owner).deserialize_context(sent)
            self.assertEqual((name, name), self.found(arrived))


class CachedPostgresql(_Case):
    """Both have their lookups cached, on one memcached."""

    kind = 'postgresql'

    def make_conf(self) -> Any:
        return self.of_other(super().make_conf())

    def of_other(self, conf: Any) -> Any:
        our_fixtures.use_cache(conf)
        return conf

    def test_each_has_its_own(self) -> None:
        for _ in range(3):
            self.assert_each_finds_its_own()
        api.instance_mapping_update(self.context, _INSTANCE, {'project_id': 'changed'})
        for _ in range(3):
            self.assertEqual(('changed', 'here'), self.found(self.context))
            self.assertEqual(('elsewhere',) * 2, self.found(self.contexts['elsewhere']))


class CellsPostgresql(_Case):
    kind = 'postgresql'

    def setUp(self) -> None:
        super().setUp()
        for context in self.contexts.values():
            self.addCleanup(target.forget_all, context)

    def count(self, context: RequestContext) -> int:
        with context.cell.reader() as connection:
            return int(connection.execute(sa.text('SELECT count(*) FROM instances')).scalar_one())

    def test_the_same_cell_is_in_two_places(self) -> None:
        for _ in range(2):
            for name, context in self.contexts.items():
                with target.target_cell(context, CellMapping.get_by_uuid(context, _CELL)) as cctxt:
                    self.assertIs(context.runtime, cctxt.runtime)
                    self.assertEqual(len(name), self.count(cctxt))
        # Neither has closed what the other keeps open.
        self.assertEqual([1, 1], [*map(target.count_open, self.contexts.values())])
        target.forget_all(self.context)
        self.assertEqual([0, 1], [*map(target.count_open, self.contexts.values())])

    def test_calls_in_all_cells(self) -> None:
        def ask(context: RequestContext) -> tuple[int, str]:
            # The function may go back to the mapping.
            return self.count(context), self.found(context)[0]

        for name, context in self.contexts.items():
            [result] = scatter.scatter_gather_all_cells(context, ask).values()
            self.assertEqual((len(name), name), result.get())

    def test_one_does_not_skip_what_failed_for_the_other(self) -> None:
        self.other.conf.set_override('failures_before_skip', 1, group='cells')
        missing = f'sqlite:///{self.folder}/missing'
        api.cell_mapping_update(
            self.contexts['elsewhere'], _CELL, {'database_connection': missing}
        )
        results = {
            name: scatter.scatter_gather_all_cells(context, self.count)[_CELL]
            for name, context in self.contexts.items()
        }
        self.assertTrue(results['here'].is_answer)
        self.assertFalse(results['elsewhere'].is_answer)
        self.assertEqual({}, scatter.troubles())
        self.assertEqual({_CELL}, scatter.troubles(self.contexts['elsewhere']).keys())


@base.on_each_database
class Ends(_Case):
    def test_a_child_of_a_fork_uses_both(self) -> None:
        self.assert_each_finds_its_own()
        closed = [_closed_by(context.runtime) for context in self.contexts.values()]
        for context in self.contexts.values():
            self.addCleanup(target.forget_all, context)
            with target.target_cell(context, CellMapping.get_by_uuid(context, _CELL)):
                pass
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self.assert_each_finds_its_own()
                counts = [*map(target.count_open, self.contexts.values())]
                status = 0 if (counts, closed) == ([0, 0], [[], []]) else 2
            finally:
                os._exit(status)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        # Over the connections from before: none was lost.
        self.assert_each_finds_its_own()
        self.assertEqual([[], []], closed)

    def test_one_that_is_dropped_closes_its_connections(self) -> None:
        made = runtime.Runtime(self.conf)
        context = get_admin_context(runtime=made)
        self.assertEqual(('here',) * 2, self.found(context))
        closed, gone = _closed_by(made), weakref.ref(made)
        del made, context
        gc.collect()
        self.assertIsNone(gone())
        self.assertNotEqual([], closed)

    def test_one_that_is_closed_can_go_on(self) -> None:
        closed = _closed_by(self.other)
        self.other.close()
        self.assertNotEqual([], closed)
        self.assert_each_finds_its_own()


class UnusableSqlite(base.TestCase):
    def test_a_configuration_that_cannot_be_followed_leaves_the_default(self) -> None:
        before = runtime.default()
        conf = self.database.conf(connection='none:///')
        self.assertRaises(exception.InvalidURL, nova_cellmap.configure, conf)
        self.assertIs(before, runtime.default())
        self.assertEqual([], api.cell_mapping_get_all(self.context))

    def test_a_further_one_says_so_when_it_is_used(self) -> None:
        other = runtime.Runtime(self.database.conf(connection='none:///'))
        context = get_admin_context(runtime=other)
        self.assertRaises(exception.InvalidURL, api.cell_mapping_get_all, context)


def _closed_by(owner: runtime.Runtime) -> list[Any]:
    """What becomes the list of the connections to the mapping database that a runtime closes."""
    closed: list[Any] = []
    engines = owner.part(Engines)
    for engine in {engines.reader, engines.writer}:
        sa.event.listen(engine, 'close', lambda connection, record: closed.append(connection))
    return closed
