# SPDX-License-Identifier: Apache-2.0
"""What a service without a database has of the conductor."""

import threading
import time
from typing import Any
from unittest import mock
import uuid

import oslo_messaging

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.conductor import rpc
from nova_cellmap.conductor import rpcapi
from nova_cellmap.conductor import service
from nova_cellmap.db import api
from nova_cellmap.db.schemas import own
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.objects.base import CellMapObjectSerializer
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.conductor import base as conductor_base

PAGE = conductor_base.PAGE


class TimeoutsSqlite(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(rpcapi.use_database)
        self.client_conf = conductor_base.client_conf()

    def use_conductor(self, wait: float = 0, timeout: int = 1) -> None:
        """As in a service with that configuration."""
        # It registers the option.
        conductor_caller.Caller(self.client_conf).close()
        self.client_conf.set_override('rpc_response_timeout', timeout)
        rpcapi.use_conductor(self.client_conf, wait=wait)

    def assert_times_out(self, told: str, call: Any, *args: Any, **kwargs: Any) -> str:
        before = time.monotonic()
        error = self.assertRaises(oslo_messaging.MessagingTimeout, call, *args, **kwargs)
        self.assertLess(time.monotonic() - before, 5)
        self.assertIn(f'No answer to {told} within 1 s', str(error))
        self.assertIn(f'topic {self.client_conf.conductor.topic}?', str(error))
        return str(error)

    def test_it_says_which_call_got_no_answer(self) -> None:
        new = self.new_mapping()
        self.use_conductor()
        name = 'nova_cellmap.InstanceMapping'
        self.assert_times_out(
            f'{name}.get_by_instance_uuid',
            objects.InstanceMapping.get_by_instance_uuid,
            self.context,
            base.new_uuid(),
        )
        self.assert_times_out(f'{name}.create', new.create)
        self.assert_times_out(
            f'{name}List.get_all', objects.InstanceMappingList.get_all, self.context
        )

    def test_it_says_which_object_was_not_backported_and_not_what_is_in_it(self) -> None:
        cell = self.make_cell(database_connection='mysql+pymysql://u:sekret@db/cell1')
        newer = cell.obj_to_primitive()
        newer['nova_cellmap_object.version'] = '1.9'
        self.use_conductor()
        told = self.assert_times_out(
            'nova_cellmap.CellMapping.object_backport_versions',
            CellMapObjectSerializer().deserialize_entity,
            self.context,
            newer,
        )
        self.assertNotIn('sekret', told)

    def test_it_may_be_waited_for_in_vain(self) -> None:
        self.assert_times_out('conductor.ping', self.use_conductor, wait=1)
        # All is as it was.
        self.assertIsNone(CellMapObject.indirection_api)
        self.make_mapping()

    def test_a_message_queue_that_is_not_there_takes_no_longer(self) -> None:
        # Nobody listens there.
        self.client_conf.set_override('transport_url', 'rabbit://u:sekret@127.0.0.1:1/')
        told = [
            self.assert_times_out('conductor.ping', self.use_conductor, wait=1),
        ]
        self.use_conductor()
        for _ in range(2):
            told.append(
                self.assert_times_out(
                    'nova_cellmap.InstanceMappingList.get_all',
                    objects.InstanceMappingList.get_all,
                    self.context,
                )
            )
        for text in told:
            self.assertIn('the message queue cannot be reached', text)
            self.assertNotIn('sekret', text)
        before = time.monotonic()
        rpcapi.use_database()
        self.assertLess(time.monotonic() - before, 5)

    def test_a_conductor_that_starts_later_is_waited_for(self) -> None:
        conductor = service.server(self.client_conf)
        later = threading.Timer(1.5, conductor.start)
        later.start()
        self.addCleanup(conductor.wait)
        self.addCleanup(conductor.stop)
        self.addCleanup(later.join)
        before = time.monotonic()
        self.use_conductor(wait=60)
        self.assertGreater(time.monotonic() - before, 1)
        self.assertIsInstance(CellMapObject.indirection_api, rpcapi.ConductorAPI)

    def test_the_database_can_be_used_again(self) -> None:
        mapping = self.make_mapping()
        self.use_conductor()
        rpcapi.use_database()
        rpcapi.use_database()
        objects.InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)


class ContextsSqlite(base.TestCase):
    def test_the_request_its_user_and_its_project_arrive(self) -> None:
        conductor = conductor_base.here()
        asked = context.RequestContext(
            request_id='req-1',
            user_id='the user',
            project_id='the project',
            roles=['reader'],
            is_admin=False,
            overwrite=False,
        )
        seen = []

        def get(arrived: Any, uuid: str) -> Any:
            seen.append(arrived)
            raise exception.InstanceMappingNotFound(uuid=uuid)

        with mock.patch.object(api, 'instance_mapping_get_by_instance_uuid', get):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                rpcapi.ConductorAPI(conductor.caller, 9).object_class_action_versions,
                asked,
                'nova_cellmap.InstanceMapping',
                'get_by_instance_uuid',
                {'nova_cellmap.InstanceMapping': '1.4'},
                (base.new_uuid(),),
                {},
            )
        [arrived] = seen
        self.assertIsInstance(arrived, context.RequestContext)
        self.assertEqual('req-1', arrived.request_id)
        self.assertEqual('the user', arrived.user_id)
        self.assertEqual('the project', arrived.project_id)
        self.assertEqual(['reader'], arrived.roles)
        self.assertIs(False, arrived.is_admin)


class _Echo:
    """A service of somebody else's, which uses our serializer."""

    target = oslo_messaging.Target(namespace='echo', version='1.0')

    def __init__(self) -> None:
        self.came: list[Any] = []

    def echo(self, context: Any, **arguments: Any) -> Any:
        self.came.append((context, arguments))
        return arguments


class SerializerSqlite(base.TestCase):
    """Our objects in other RPC."""

    def setUp(self) -> None:
        super().setUp()
        conf = conductor_base.client_conf()
        transport = rpc.transport(conf)
        topic = f'echo-{uuid.uuid4().hex}'
        self.echo = _Echo()
        server = oslo_messaging.get_rpc_server(
            transport,
            oslo_messaging.Target(topic=topic, server='here'),
            [self.echo],
            serializer=CellMapObjectSerializer(),
        )
        server.start()
        self.addCleanup(transport.cleanup)
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)
        self.client = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(topic=topic, namespace='echo', version='1.0'),
            serializer=CellMapObjectSerializer(),
        )

    def test_objects_travel_in_any_argument_and_result(self) -> None:
        cell = self.make_cell(name='here')
        mapping = self.make_mapping(cell_uuid=cell.uuid)
        changed = self.make_mapping()
        changed.queued_for_delete = True
        mappings = objects.InstanceMappingList.get_all(self.context)
        cells = objects.CellMappingList.get_all(self.context)
        sent = {
            'one': mapping,
            'nested': {'list': [cell, [changed]], 'deeper': {'still': (mappings, cells)}},
            'plain': [None, 5, 'x', {'a': 1.5}],
        }
        back = self.client.call(self.context, 'echo', **sent)
        [(asked, came)] = self.echo.came
        self.assertEqual(self.context.request_id, asked.request_id)
        for arrived in (came, back):
            self.assertEqual(sent['plain'], arrived['plain'])
            nested = arrived['nested']
            [first, [second]] = nested['list']
            [third, fourth] = nested['deeper']['still']
            for before, after in (
                (mapping, arrived['one']),
                (cell, first),
                (changed, second),
                (mappings, third),
                (cells, fourth),
            ):
                self.assertIs(type(before), type(after))
                self.assertEqual(before.obj_to_primitive(), after.obj_to_primitive())
            self.assertEqual({'queued_for_delete'}, second.obj_what_changed())
            # It is of the request that it came in.
            self.assertEqual(self.context.request_id, first.obj_context.request_id)

    def test_an_object_that_arrived_can_be_used(self) -> None:
        mapping = self.make_mapping()
        mapping.cell_uuid = self.make_cell().uuid
        self.client.call(self.context, 'echo', mapping=mapping)
        [(_, came)] = self.echo.came
        came['mapping'].save()
        mapping = objects.InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)
        self.assertEqual(came['mapping'].cell_uuid, mapping.cell_uuid)


class PagesSqlite(base.TestCase):
    """A conductor of small pages, and clients of smaller ones, the same and larger ones."""

    def setUp(self) -> None:
        super().setUp()
        self.cells = [self.make_cell() for _ in range(PAGE + 2)]
        self.mappings = [
            self.make_mapping(cell_uuid=cell.uuid, user_id=f'user{number % 2}')
            for number, cell in enumerate([*self.cells, *self.cells])
        ]
        self.uuids = [mapping.instance_uuid for mapping in self.mappings]
        self.addCleanup(setattr, CellMapObject, 'indirection_api', None)

    def use_pages_of(self, size: int) -> conductor_base.Recorder:
        """Have remotable methods go to the conductor from here on."""
        recorder = conductor_base.Recorder(conductor_base.of_small_pages().api.caller)
        CellMapObject.indirection_api = rpcapi.ConductorAPI(recorder, size)
        return recorder

    def each_size(self) -> Any:
        for size in (PAGE - 1, PAGE, 1000):
            yield self.use_pages_of(size)

    def found(self, mappings: Any) -> list[str]:
        self.assertIsInstance(mappings, objects.InstanceMappingList)
        self.assertEqual(set(), mappings.obj_what_changed())
        return [mapping.instance_uuid for mapping in mappings]

    def test_lists_come_whole_and_in_order(self) -> None:
        cell = self.cells[0]
        theirs = [mapping.instance_uuid for mapping in self.mappings[:: len(self.cells)]]
        listed = objects.InstanceMappingList
        for _ in self.each_size():
            self.assertEqual(self.uuids, self.found(listed.get_all(self.context)))
            for found in (
                listed.get_by_cell_uuid(self.context, cell.uuid),
                listed.get_by_cell_id(self.context, cell.id),
                listed.get_not_deleted_by_cell_and_project(self.context, cell.uuid, 'project'),
            ):
                self.assertEqual(theirs, self.found(found))
            self.assertEqual(
                self.uuids, self.found(listed.get_by_project_id(self.context, 'project'))
            )
            self.assertEqual([], self.found(listed.get_by_project_id(self.context, 'other')))

    def test_lists_of_cells_come_whole_and_in_order(self) -> None:
        uuids = [cell.uuid for cell in self.cells]
        listed = objects.CellMappingList
        for _ in self.each_size():
            for found in (
                listed.get_all(self.context),
                listed.get_by_disabled(self.context, False),
                listed.get_by_project_id(self.context, 'project'),
            ):
                self.assertEqual(uuids, [cell.uuid for cell in found])

    def test_limits_and_markers_mean_what_they_mean_without_a_conductor(self) -> None:
        listed = objects.InstanceMappingList
        last = len(self.uuids)
        for _ in self.each_size():
            for start in (0, PAGE, last):
                marker = self.uuids[start - 1] if start else None
                for limit in (None, 0, 1, PAGE, PAGE + 1, last):
                    expected = self.uuids[start : None if limit is None else start + limit]
                    page: Any = {'limit': limit, 'marker': marker}
                    self.assertEqual(expected, self.found(listed.get_all(self.context, **page)))
                    some = listed.get_by_instance_uuids(self.context, self.uuids, **page)
                    self.assertEqual(expected, self.found(some))

    def test_limits_and_markers_that_are_none_are_told_of(self) -> None:
        listed = objects.InstanceMappingList
        for _ in self.each_size():
            for limit in (-1, 'x', True, 1.5):
                for call in (listed.get_all, listed.get_by_instance_uuids):
                    given: Any = [self.uuids] if call == listed.get_by_instance_uuids else []
                    self.assertRaises(
                        exception.InvalidInput, call, self.context, *given, limit=limit
                    )
            self.assertRaises(
                exception.MarkerNotFound, listed.get_all, self.context, marker=base.new_uuid()
            )
            self.assertRaises(
                exception.MarkerNotFound,
                listed.get_by_instance_uuids,
                self.context,
                self.uuids[1:],
                marker=self.uuids[0],
            )

    def test_instances_may_be_named_in_any_order_number_spelling_and_iterable(self) -> None:
        named = [*reversed(self.uuids), base.new_uuid(), 'no uuid', self.uuids[0].upper()]
        for _ in self.each_size():
            for given in (named, tuple(named), iter(named)):
                found = objects.InstanceMappingList.get_by_instance_uuids(self.context, given)
                self.assertEqual(self.uuids, self.found(found))
            self.assertEqual(
                [],
                self.found(objects.InstanceMappingList.get_by_instance_uuids(self.context, [])),
            )

    def test_counts_count_all_and_each_once(self) -> None:
        named = [*self.uuids, *self.uuids, self.uuids[0].upper(), base.new_uuid()]
        half = len(self.uuids) // 2
        for _ in self.each_size():
            count = objects.InstanceMappingList.get_count_by_uuids_and_user(
                self.context, (uuid for uuid in named), 'user0'
            )
            self.assertEqual(half, count)
            counts = objects.InstanceMappingList.get_counts(self.context, 'project', 'user0')
            expected = {
                'project': {'instances': len(self.uuids)},
                'user': {'instances': half},
            }
            self.assertEqual(expected, counts)

    def test_any_number_is_created_at_once(self) -> None:
        for _ in self.each_size():
            new = [self.new_mapping(cell_uuid=self.cells[0].uuid) for _ in range(2 * PAGE + 1)]
            elsewhere = [
                self.new_mapping(instance_uuid=uuid, cell_uuid=self.cells[1].uuid)
                for uuid in self.uuids[: PAGE + 1]
            ]
            result = objects.InstanceMappingList.create_bulk(
                self.context, (mapping for mapping in [*new, *elsewhere])
            )
            self.assertEqual(len(new), result['created'])
            # The second of them has that cell.
            self.assertEqual(1, result['existing'])
            conflicts = {
                mapping.instance_uuid: mapping.cell_uuid
                for number, mapping in enumerate(self.mappings[: PAGE + 1])
                if number != 1
            }
            self.assertEqual(conflicts, result['conflicts'])
            gone = objects.InstanceMappingList.destroy_bulk(
                self.context, [mapping.instance_uuid for mapping in new]
            )
            self.assertEqual(len(new), gone)

    def test_any_number_is_removed_at_once(self) -> None:
        for _ in self.each_size():
            new = [self.new_mapping() for _ in range(2 * PAGE + 1)]
            objects.InstanceMappingList.create_bulk(self.context, new)
            named = [mapping.instance_uuid for mapping in new]
            gone = objects.InstanceMappingList.destroy_bulk(
                self.context, iter([*named, *named, named[0].upper(), base.new_uuid()])
            )
            self.assertEqual(len(new), gone)
        self.assertEqual(self.uuids, self.found(objects.InstanceMappingList.get_all(self.context)))

    def test_no_call_asks_for_more_than_a_page(self) -> None:
        recorder = self.use_pages_of(2)
        listed = objects.InstanceMappingList
        listed.get_all(self.context)
        listed.get_by_instance_uuids(self.context, self.uuids)
        listed.create_bulk(self.context, [self.new_mapping() for _ in range(5)])
        listed.destroy_bulk(self.context, self.uuids)
        for call in recorder.calls:
            given = call['kwargs']
            self.assertGreaterEqual(2, given.get('limit') or 0)
            for name in ('uuids', 'mappings', 'instance_uuids'):
                self.assertGreaterEqual(2, len(given.get(name, [])))
        self.assertEqual(6 + 5 + 3 + 5, len(recorder.calls))

    def test_a_smaller_page_is_learnt_once(self) -> None:
        recorder = self.use_pages_of(1000)
        objects.InstanceMappingList.get_all(self.context)
        recorder.calls.clear()
        objects.InstanceMappingList.get_all(self.context)
        self.assertEqual([PAGE] * 4, [call['kwargs']['limit'] for call in recorder.calls])

    def test_the_conductor_itself_answers_no_more_than_a_page(self) -> None:
        caller = conductor_base.of_small_pages().api.caller
        versions = {'nova_cellmap.InstanceMappingList': '1.5'}

        def ask(method: str, *args: Any, **kwargs: Any) -> Any:
            return caller(
                self.context,
                'object_class_action_versions',
                objname='nova_cellmap.InstanceMappingList',
                objmethod=method,
                object_versions=versions,
                args=args,
                kwargs=kwargs,
            )

        for limit in (None, PAGE + 1, 10**9):
            for method, args in (
                ('get_all', []),
                ('get_by_project_id', ['project']),
                ('get_by_instance_uuids', [self.uuids]),
            ):
                error = self.assertRaises(exception.PageTooLarge, ask, method, *args, limit=limit)
                self.assertEqual({'limit': PAGE}, error.kwargs)
        self.assertEqual(PAGE, len(ask('get_all', limit=PAGE)))
        # A limit that is larger than what there is does no harm.
        self.assertEqual(2, len(ask('get_by_instance_uuids', self.uuids[:2], limit=10**9)))

    def test_a_list_comes_whole_where_others_remove_of_it_meanwhile(self) -> None:
        for removed in (1, 2, PAGE, PAGE + 1):
            recorder = self.use_pages_of(PAGE)
            made = [self.new_mapping(project_id='removed') for _ in range(3 * PAGE)]
            objects.InstanceMappingList.create_bulk(self.context, made)
            uuids = [mapping.instance_uuid for mapping in made]
            caller = recorder.caller

            def remove(context: Any, name: str, **arguments: Any) -> Any:
                answer = caller(context, name, **arguments)  # noqa: B023
                if len(recorder.calls) == 2:  # noqa: B023
                    # What has been read last, before the next page is asked for.
                    gone = uuids[2 * PAGE - removed : 2 * PAGE]  # noqa: B023
                    api.instance_mapping_destroy_bulk(self.context, gone)
                return answer

            recorder.caller = remove
            found = self.found(
                objects.InstanceMappingList.get_by_project_id(self.context, 'removed')
            )
            self.assertEqual(len(found), len(set(found)))
            kept = uuids[: 2 * PAGE - removed] + uuids[2 * PAGE :]
            self.assertEqual(kept, [uuid for uuid in found if uuid in kept])
            self.assertLessEqual(set(found), set(uuids))
            self.execute_removal()

    def execute_removal(self) -> None:
        left = api.instance_mapping_get_all(self.context, project_id='removed')
        api.instance_mapping_destroy_bulk(self.context, [row['instance_uuid'] for row in left])


@base.on_each_database
class Templates(base.TestCase):
    """A conductor fills the templates of cells, from its own options, and keeps them."""

    def test_a_template_is_filled_where_it_is_loaded_and_kept_where_it_is_stored(self) -> None:
        conductor = self.useFixture(
            fixtures.Conductor(
                self.database, {'database': {'connection': 'mysql+pymysql://u:p%40ss@[::1]/nova'}}
            )
        )
        template = '{scheme}://{username}:{password}@{hostname}:{port}/'
        stored = self.make_cell(
            name='x', database_connection=f'{template}cell1', transport_url=f'{template}cell1'
        )
        CellMapObject.indirection_api = conductor.api
        self.addCleanup(setattr, CellMapObject, 'indirection_api', None)
        cell = objects.CellMapping.get_by_uuid(self.context, stored.uuid)
        for found in (cell, objects.CellMapping.get_by_uuid(self.context, cell.uuid)):
            self.assertEqual('mysql+pymysql://u:p%40ss@[::1]/cell1', found.database_connection)
            queue = conductor.conf.transport_url.rstrip('/')
            self.assertEqual(f'{queue}/cell1', found.transport_url)
        cell.name = 'y'
        cell.save()
        [row] = self.execute(own.cell_mapping.select())
        self.assertEqual((f'{template}cell1',) * 2, (row.database_connection, row.transport_url))
        # A client's would be filled with the conductor's passwords.
        for name in ('database_connection', 'transport_url'):
            error = self.assertRaises(exception.InvalidURL, self.make_cell, **{name: template})
            self.assertIn(f'{name} of a cell', str(error))
            setattr(cell, name, template)
            self.assertRaises(exception.InvalidURL, cell.save)
            cell = objects.CellMapping.get_by_uuid(self.context, stored.uuid)
        self.assertEqual([row], self.execute(own.cell_mapping.select()))
