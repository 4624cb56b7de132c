# SPDX-License-Identifier: Apache-2.0
"""A client that harms a conductor, on the real message queue."""

from collections.abc import Callable
import itertools
import os
import random
import time
from typing import Any
import uuid

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import message
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.conductor import fuzz
from nova_cellmap.tests.functional.conductor import hostile

_MAPPING = 'nova_cellmap.InstanceMapping'
_LIST = 'nova_cellmap.InstanceMappingList'
_CELL = 'nova_cellmap.CellMapping'
# How many messages are sent at random.
_FUZZ = 1500


class _Case(base.TestCase):
    """A conductor as it is by default, and a line to it on which anything can be sent."""

    options: dict[str, Any] = {'cells': 'without_urls', 'cells_writable': False}

    def setUp(self) -> None:
        super().setUp()
        self.conductor = self.useFixture(
            fixtures.Conductor(self.database, {'conductor': self.options})
        )
        conf = self.conductor.conf
        line = hostile.Line.to(conf.transport_url, conf.conductor.topic)
        self.line = line.__enter__()
        self.addCleanup(line.__exit__, None, None, None)
        self.worker = fuzz.worker_of(self.conductor)

    def ask(self, method: Any, args: Any, **more: Any) -> dict[str, Any]:
        """Call, and answer what was answered."""
        answer = self.line.ask(hostile.call(method, args, self.line.reply_q, **more))
        self.assertEqual([], self.line.leaks)
        return answer

    def refused(self, method: Any, args: Any, **more: Any) -> str:
        """Call, and fail; answer the name of the error."""
        failure = self.ask(method, args, **more)['failure']
        self.assertEqual(1, len(failure['tb']), failure)
        name: str = failure['class']
        return name

    def use_conductor(self) -> None:
        CellMapObject.indirection_api = self.conductor.api
        self.addCleanup(setattr, CellMapObject, 'indirection_api', None)

    def memory(self) -> int:
        """Of the worker, in MB; that it is the same one is sure as well."""
        self.assertEqual(self.worker, fuzz.worker_of(self.conductor))
        return fuzz.measured(self.worker)['VmRSS'] // 1024

    def kept_by(self, harm: Callable[[int], object], times: int) -> int:
        """What the worker is larger by, in MB, after harm that it has seen before.

        The first few times its allocator takes room for what is only looked at, and does not
        give that back: 40 to 250 MB, by the number of threads that were busy at once. What
        a worker keeps of each message, it keeps of the later ones as well.
        """
        harm(max(times // 4, 1))
        before = self.memory()
        harm(times)
        return self.memory() - before


class SizesSqlite(_Case):
    def test_versions_are_short(self) -> None:
        for version in ('9' * 20_000, '1.' * 10_000, '9' * 500, '1.4rc' + '9' * 500, 1.4, None):
            versions = {_MAPPING: version}
            args = hostile.class_action(
                _MAPPING, 'get_by_instance_uuid', 'x', object_versions=versions
            )
            self.assertEqual(
                'RemoteCallRefused', self.refused('object_class_action_versions', args)
            )
            obj = hostile.primitive(instance_uuid=str(uuid.uuid4()))
            nested = hostile.primitive(cell_mapping={'nova_cellmap_object.version': version})
            for each in ({**obj, 'nova_cellmap_object.version': version}, nested):
                args = hostile.object_action(each, 'save')
                self.assertEqual('RemoteCallRefused', self.refused('object_action', args))
            self.assertIn(
                self.refused('ping', {}, version=version), ('UnsupportedVersion', 'NoSuchMethod')
            )
        self.assertEqual(0, self.conductor.stop())

    def test_texts_are_short_and_leave_nothing_behind(self) -> None:
        numbers = itertools.count()

        def send_long_texts(times: int) -> None:
            for number in itertools.islice(numbers, times):
                text = f'{number}' + 'x' * 5_000_000
                self.refused(
                    'object_class_action_versions',
                    hostile.class_action(_LIST, 'get_by_project_id', text),
                )
                self.refused('object_class_action_versions', hostile.class_action(text, text))
                obj = hostile.primitive(project_id=text, created_at=text, instance_uuid=text)
                self.refused('object_action', hostile.object_action(obj, 'create'))
                self.refused('ping', {}, _context_request_id=text)

        log = self.conductor.log_file.stat().st_size
        # Each of the texts, kept once, would be 600 MB.
        self.assertLess(self.kept_by(send_long_texts, 30), 200)
        self.assertLess(self.conductor.log_file.stat().st_size - log, 200_000)

    def test_no_call_names_or_brings_more_than_a_page(self) -> None:
        uuids = [str(uuid.uuid4()) for _ in range(1001)]
        new = [hostile.primitive(instance_uuid=each, project_id='p') for each in uuids]
        for name, given in (
            ('get_by_instance_uuids', uuids),
            ('destroy_bulk', uuids),
            ('create_bulk', new),
        ):
            args = hostile.class_action(_LIST, name, given)
            self.assertEqual('PageTooLarge', self.refused('object_class_action_versions', args))
        self.assertEqual(0, len(objects.InstanceMappingList.get_all(self.context)))

    def test_what_is_too_long_to_be_looked_at_is_refused(self) -> None:
        uuids = [str(uuid.uuid4())] * 1_000_000

        def send_too_much(times: int) -> None:
            for given in (uuids, 'x' * (2 * message.MAX_BODY)) * times:
                args = hostile.class_action(_LIST, 'get_by_instance_uuids', given)
                self.assertEqual(
                    'RemoteCallRefused', self.refused('object_class_action_versions', args)
                )

        self.assertLess(self.kept_by(send_too_much, 1), 250)

    def test_clients_keep_to_the_pages(self) -> None:
        self.use_conductor()
        new = [self.new_mapping() for _ in range(2500)]
        made = objects.InstanceMappingList.create_bulk(self.context, new)
        self.assertEqual((2500, 0), (made['created'], made['existing']))
        uuids = [mapping.instance_uuid for mapping in new]
        found = objects.InstanceMappingList.get_by_instance_uuids(self.context, uuids)
        self.assertEqual(2500, len(found))
        self.assertEqual(2500, objects.InstanceMappingList.destroy_bulk(self.context, uuids))


class ThreadsSqlite(_Case):
    def test_answers_that_nobody_hears_hold_up_nobody(self) -> None:
        for _ in range(300):
            gone = hostile.call('ping', {}, f'reply_{uuid.uuid4().hex}')
            self.line.send(hostile.enveloped(gone))
        self.line.barrier(60)
        self.assertLess(fuzz.measured(self.worker)['Threads'], 150)

    def test_calls_that_are_refused_leave_no_threads_behind(self) -> None:
        self.line.barrier()
        for _ in range(300):
            self.refused('no_such_method', {}, _timeout=2)
        before = fuzz.measured(self.worker)['Threads']
        for patience in (2, 1e308, -1, 'x', [1], None):
            for _ in range(30):
                self.refused('no_such_method', {}, _timeout=patience)
                self.refused('ping', {'x': 1}, _timeout=patience)
        self.assertLess(fuzz.measured(self.worker)['Threads'], before + 10)

    def test_calls_wait_in_the_queue_and_not_in_memory(self) -> None:
        def send_at_once(times: int) -> None:
            for _ in range(times):
                args = hostile.class_action(_LIST, 'get_by_project_id', 'x' * 4000)
                args['kwargs'] = {f'k{number}': 'x' * 4000 for number in range(20)}
                call = hostile.call('object_class_action_versions', args)
                self.line.send(hostile.enveloped(call))
            self.line.barrier(120)

        # All of them at once are 240 MB.
        self.assertLess(self.kept_by(send_at_once, 3000), 150)


class AnswersSqlite(_Case):
    def test_no_traceback_crosses(self) -> None:
        obj = hostile.primitive(instance_uuid=str(uuid.uuid4()))
        deep: Any = []
        for _ in range(300):
            deep = [deep]
        for method, args in (
            ('ping', {'x': 1}),
            ('ping', [1]),
            ('ping', None),
            ('ping', {'context': {}}),
            ('object_action', {}),
            (
                'object_action',
                hostile.object_action({**obj, 'nova_cellmap_object.changes': [1]}, 'save'),
            ),
            (
                'object_action',
                hostile.object_action({**obj, 'nova_cellmap_object.changes': [[]]}, 'save'),
            ),
            ('object_action', hostile.object_action([obj], 'save')),
            ('object_action', hostile.object_action(obj, {'x': 1})),
            ('object_class_action_versions', hostile.class_action(_LIST, 'create_bulk', deep)),
            ('object_class_action_versions', hostile.class_action(_LIST, 'create_bulk', [[obj]])),
            ('object_class_action_versions', hostile.class_action(_LIST, 'create_bulk', [1])),
            ('object_class_action_versions', hostile.class_action(_LIST, 'create_bulk', {'x': 1})),
            ('object_class_action_versions', hostile.class_action([], {})),
            ('object_class_action_versions', {'objname': 1}),
            ('object_backport_versions', {'objinst': obj, 'object_versions': [1]}),
            ({'x': 1}, {}),
            (None, {}),
            ([1], [1]),
            ('__init__', {}),
            ('_data', {}),
        ):
            name = self.refused(method, args)
            expected = ('RemoteCallRefused', 'InvalidInput', 'NoSuchMethod', 'ObjectActionError')
            self.assertIn(name, expected, f'{method} {str(args)[:200]}')
        self.assertNotIn('Traceback', self.conductor.log_file.read_text())

    def test_arguments_of_other_shapes_are_refused(self) -> None:
        obj = hostile.primitive(instance_uuid=str(uuid.uuid4()))
        odds: list[Any] = [None, True, 5, 1.5, 'x', [5], ['x'], {'x': 1}, [None], [[]]]
        for usual, method in (
            (hostile.class_action(_LIST, 'get_all'), 'object_class_action_versions'),
            (hostile.object_action(obj, 'save'), 'object_action'),
            ({'objinst': obj, 'object_versions': {}}, 'object_backport_versions'),
        ):
            for name, value in usual.items():
                for odd in odds:
                    if type(odd) is not type(value):
                        refusal = self.refused(method, {**usual, name: odd})
                        self.assertEqual('RemoteCallRefused', refusal, f'{method} {name}: {odd}')
        self.assertNotIn('Traceback', self.conductor.log_file.read_text())

    def test_nobody_writes_lines_into_the_log(self) -> None:
        forged = 'x\n2026-01-01 00:00:00.000 1 INFO forged \x1b[31m'
        for name in ('request_id', 'user', 'project_id', 'global_request_id', 'user_name'):
            self.refused('ping', {}, **{f'_context_{name}': forged})
        self.refused(forged, {})
        self.refused('ping', {}, version=forged)
        self.refused('object_class_action_versions', hostile.class_action(forged, forged))
        for address in ({'_msg_id': forged}, {'_reply_q': forged}, {'_unique_id': forged}):
            message = {**hostile.call('ping', {}, self.line.reply_q), **address}
            self.line.send(hostile.enveloped(message))
        self.line.barrier()
        log = self.conductor.log_file.read_text()
        self.assertNotIn('\n2026-01-01', log)
        self.assertNotIn('\x1b', log)

    def test_compressed_and_odd_bodies_do_no_harm(self) -> None:
        sender = hostile.Sender(random.Random(1), self.line.reply_q)

        def send_odd_bodies(times: int) -> None:
            for kind in ('compressed', 'encodings', 'broken', 'nested'):
                for _ in range(times):
                    self.line.send(sender.make(kind))
            # A text that takes the square of its length to decode.
            slow = b'a-' + b'zz9' * 300_000
            self.line.send(hostile.Sent(slow, {'content_encoding': 'punycode'}))
            self.line.barrier(60)

        self.assertLess(self.kept_by(send_odd_bodies, 40), 250)


class CellsSqlite(_Case):
    """By default a client gets no URL of a cell, and changes none."""

    kept_back: tuple[str, ...] = ('transport_url', 'database_connection')

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell(
            name='cell',
            transport_url='rabbit://u:sekret@mq/',
            database_connection='mysql+pymysql://u:sekret@db/cell',
        )
        self.mapping = self.make_mapping(cell_uuid=self.cell.uuid)
        self.use_conductor()

    def seen(self) -> list[objects.CellMapping]:
        """The cell, in each way that a client can come to it."""
        mapped, lists = objects.InstanceMapping, objects.InstanceMappingList
        found = mapped.get_by_instance_uuid(self.context, self.mapping.instance_uuid)
        changed = mapped.get_by_instance_uuid(self.context, self.mapping.instance_uuid)
        changed.cell_mapping = None
        changed.save()
        changed.cell_mapping = found.cell_mapping
        changed.save()
        [member] = lists.get_all(self.context)
        [other] = lists.get_by_project_id(self.context, 'project')
        return [each.cell_mapping for each in (found, changed, member, other)]

    def looked_up(self) -> list[objects.CellMapping]:
        [one] = objects.CellMappingList.get_all(self.context)
        [two] = objects.CellMappingList.get_by_project_id(self.context, 'project')
        return [
            one,
            two,
            objects.CellMapping.get_by_uuid(self.context, self.cell.uuid),
            objects.CellMapping.get_by_name(self.context, 'cell'),
        ]

    def assert_kept_back(self, cells: list[objects.CellMapping]) -> None:
        for cell in cells:
            self.assertEqual(self.cell.uuid, cell.uuid)
            self.assertNotIn('sekret', str(cell.obj_to_primitive()))
            for name in self.kept_back:
                error = self.assertRaises(exception.CellFieldKeptBack, getattr, cell, name)
                self.assertIn('[conductor] cells = full', str(error))

    def test_cells_come_without_what_is_kept_back(self) -> None:
        cells = self.seen() + self.looked_up()
        self.assert_kept_back(cells)
        self.assertEqual({'cell'}, {cell.name for cell in cells})

    def test_cells_are_not_changed(self) -> None:
        cell = self.seen()[0]
        cell.disabled = True
        new = objects.CellMapping(
            self.context, transport_url='none:///', database_connection='none:///'
        )
        for call in (cell.save, cell.destroy, new.create):
            error = self.assertRaises(exception.RemoteCallRefused, call)
            self.assertIn('[conductor] cells_writable', str(error))
        CellMapObject.indirection_api = None
        [left] = objects.CellMappingList.get_all(self.context)
        self.assertEqual(self.cell.obj_to_primitive(), left.obj_to_primitive())

    def test_a_list_travels_as_rows_all_the_same(self) -> None:
        found = objects.InstanceMappingList.get_all(self.context)
        data = found.obj_to_primitive()['nova_cellmap_object.data']
        self.assertEqual(1, len(data['cells']))

    def test_a_stolen_reply_tells_nothing(self) -> None:
        for method in ('get_by_instance_uuids', 'get_all'):
            given = [[self.mapping.instance_uuid]] if method == 'get_by_instance_uuids' else []
            args = hostile.class_action(_LIST, method, *given)
            answer = self.ask('object_class_action_versions', args)
            self.assertNotIn('sekret', str(answer))
        old = hostile.class_action(
            _MAPPING,
            'get_by_instance_uuid',
            self.mapping.instance_uuid,
            object_versions={_MAPPING: '1.4', _CELL: '1.0'},
        )
        answer = self.ask('object_class_action_versions', old)
        self.assertIsNone(answer['failure'])
        self.assertNotIn('sekret', str(answer))


class NoCellsSqlite(CellsSqlite):
    """A client gets the uuids of cells, and no more."""

    options = {'cells': 'none', 'cells_writable': False}
    kept_back = ('transport_url', 'database_connection', 'name', 'disabled', 'id', 'created_at')

    def test_cells_come_without_what_is_kept_back(self) -> None:
        self.assert_kept_back(self.seen())
        for call in (
            lambda: objects.CellMappingList.get_all(self.context),
            lambda: objects.CellMapping.get_by_uuid(self.context, self.cell.uuid),
            lambda: objects.CellMapping.get_by_name(self.context, 'cell'),
        ):
            error = self.assertRaises(exception.RemoteCallRefused, call)
            self.assertIn('[conductor] cells', str(error))


class FuzzSqlite(_Case):
    def test_anything_may_come(self) -> None:
        seed = 1 if 'CI' in os.environ else int(time.time())
        result = fuzz.fuzz(self.conductor, _FUZZ, seed, list(hostile.KINDS))
        self.addDetail('result', _as_detail(f'seed {seed}: {result}'))
        for name in fuzz.WRONG:
            self.assertEqual([], result[name], name)
        self.assertNotIn('died', result['after'])
        self.assertLess(result['after']['VmHWM'] - result['before']['VmHWM'], 300 * 1024)
        self.assertLess(result['after']['Threads'], 150)
        self.assertLess(result['log bytes'], 1_000_000)
        self.assertEqual(1, result['cells'])


def _as_detail(text: str) -> Any:
    from testtools import content

    return content.text_content(text)
