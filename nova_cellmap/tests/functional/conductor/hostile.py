# SPDX-License-Identifier: Apache-2.0
"""What somebody may send to the message queue who means no good, or knows no better."""

import bz2
from collections.abc import Callable, Iterator
import contextlib
import json
import random
import re
import time
from typing import Any, NamedTuple
import uuid
import zlib

import kombu as library

from nova_cellmap.conductor import rpc
from nova_cellmap.objects import base as objects_base

# It says of nothing of what type it is.
kombu: Any = library

_MAPPING = 'nova_cellmap.InstanceMapping'
_LIST = 'nova_cellmap.InstanceMappingList'
_CELL = 'nova_cellmap.CellMapping'
_VERSIONS = {name: classes[0].VERSION for name, classes in objects_base.registered().items()}
_METHODS = {
    _MAPPING: ['get_by_instance_uuid', 'create', 'save', 'destroy'],
    _LIST: [
        'get_all',
        'get_by_project_id',
        'get_by_cell_uuid',
        'get_by_cell_id',
        'get_by_instance_uuids',
        'get_not_deleted_by_cell_and_project',
        'get_counts',
        'get_count_by_uuids_and_user',
        'create_bulk',
        'destroy_bulk',
    ],
    _CELL: ['get_by_uuid', 'get_by_name', 'create', 'save', 'destroy'],
    'nova_cellmap.CellMappingList': ['get_all', 'get_by_disabled', 'get_by_project_id'],
}


class Sent(NamedTuple):
    """A message: its body, and the properties and headers it has on the queue."""

    body: bytes
    properties: dict[str, Any]


def call(
    method: Any, args: Any, reply_q: Any = None, msg_id: Any = None, **more: Any
) -> dict[str, Any]:
    """A message as oslo.messaging's clients have it, without its envelope."""
    message = {
        'method': method,
        'args': args,
        'namespace': rpc.NAMESPACE,
        'version': rpc.VERSION,
        '_unique_id': uuid.uuid4().hex,
        '_context_request_id': f'req-{uuid.uuid4()}',
        '_context_user': 'user',
    }
    if reply_q is not None:
        message |= {
            '_msg_id': uuid.uuid4().hex if msg_id is None else msg_id,
            '_reply_q': reply_q,
            '_timeout': None,
        }
    return {**message, **more}


def enveloped(message: Any, version: Any = '2.0') -> Sent:
    body = {'oslo.version': version, 'oslo.message': json.dumps(message)}
    return Sent(json.dumps(body).encode(), _JSON)


_JSON = {'content_type': 'application/json', 'content_encoding': 'utf-8'}


def class_action(objname: Any, objmethod: Any, *args: Any, **changed: Any) -> dict[str, Any]:
    """The arguments of a call of a class method."""
    return {
        'objname': objname,
        'objmethod': objmethod,
        'object_versions': _VERSIONS,
        'args': list(args),
        'kwargs': {},
        **changed,
    }


def object_action(objinst: Any, objmethod: Any) -> dict[str, Any]:
    return {'objinst': objinst, 'objmethod': objmethod, 'args': [], 'kwargs': {}}


def primitive(cls: str = _MAPPING, /, **data: Any) -> dict[str, Any]:
    """An object that has not been made."""
    return {
        'nova_cellmap_object.name': cls,
        'nova_cellmap_object.namespace': 'nova_cellmap',
        'nova_cellmap_object.version': _VERSIONS.get(cls, '1.0'),
        'nova_cellmap_object.data': data,
        'nova_cellmap_object.changes': list(data),
    }


class Sender:
    """Makes messages, each of a kind that :data:`KINDS` names, and any number of them.

    :param chance: where they come from
    :param reply_q: where answers go to
    """

    def __init__(self, chance: random.Random, reply_q: str) -> None:
        self.chance = chance
        self.reply_q = reply_q

    def make(self, kind: str) -> Sent:
        return KINDS[kind](self)

    def value(self, depth: int = 0) -> Any:
        """Anything that JSON can say."""
        chance = self.chance
        simple = [
            None,
            True,
            0,
            -1,
            1.5,
            2**70,
            10**400,
            '',
            'x',
            '\0',
            '\x1b[31mred',
            'a\nb',
            '\ud800',
            '=cmd|x',
            '9' * chance.choice([5, 400, 5000]),
            'x' * chance.choice([256, 5000, 100_000]),
            '{username}:{password}',
            str(uuid.uuid4()),
            str(uuid.uuid4()).upper(),
        ]
        if depth > 3 or chance.random() < 0.7:
            return chance.choice(simple)
        members = [self.value(depth + 1) for _ in range(chance.randrange(4))]
        if chance.random() < 0.5:
            return members
        return {str(number): member for number, member in enumerate(members)}

    def _call(self, method: Any, args: Any, **more: Any) -> Sent:
        return enveloped(call(method, args, self.reply_q, **more))

    def arguments(self) -> Sent:
        name = self.chance.choice(list(_METHODS))
        method = self.chance.choice(_METHODS[name])
        args = [self.value() for _ in range(self.chance.randrange(3))]
        return self._call('object_class_action_versions', class_action(name, method, *args))

    def shapes(self) -> Sent:
        name = self.chance.choice(list(_METHODS))
        usual = class_action(name, self.chance.choice(_METHODS[name]))
        odd = self.chance.choice(list(usual))
        return self._call('object_class_action_versions', {**usual, odd: self.value()})

    def objects(self) -> Sent:
        name = self.chance.choice(list(_METHODS))
        fields = objects_base.registered().get(name, [None])[0].fields  # type: ignore[union-attr]
        data = {field: self.value() for field in fields if self.chance.random() < 0.6}
        obj = primitive(name, **data)
        key = self.chance.choice([*obj, 'none'])
        if self.chance.random() < 0.4 and key != 'none':
            obj[key] = self.value()
        method = self.chance.choice(_METHODS[name])
        return self._call('object_action', object_action(obj, method))

    def names(self) -> Sent:
        wrong = [self.value(), '__class__', '_data', 'mro', 'obj_load_attr', 'from_row']
        if self.chance.random() < 0.5:
            return self._call(
                'object_class_action_versions',
                class_action(self.chance.choice([*_METHODS, self.value()]), *wrong[:1]),
            )
        return self._call('object_action', object_action(primitive(), self.chance.choice(wrong)))

    def methods(self) -> Sent:
        return self._call(
            self.chance.choice(['nothing', 'ping', '__init__', self.value()]),
            self.chance.choice([{}, {'x': 1}, self.value()]),
            _timeout=self.chance.choice([None, 2, 60, -1, 'x', [1], 1e308, self.value()]),
        )

    def versions(self) -> Sent:
        long = self.chance.choice(['9' * 20_000, '1.' * 5000, '1.4' + '0' * 500, self.value()])
        if self.chance.random() < 0.3:
            return self._call('ping', {}, version=long)
        if self.chance.random() < 0.5:
            obj = primitive(instance_uuid=str(uuid.uuid4()))
            obj['nova_cellmap_object.version'] = long
            return self._call('object_action', object_action(obj, 'save'))
        versions = {**_VERSIONS, _MAPPING: long}
        return self._call(
            'object_class_action_versions',
            class_action(_MAPPING, 'get_by_instance_uuid', 'x', object_versions=versions),
        )

    def contexts(self) -> Sent:
        names = ('request_id', 'user', 'project_id', 'roles', 'is_admin', 'self', 'cls', 'conf')
        context = {f'_context_{self.chance.choice(names)}': self.value() for _ in range(3)}
        return self._call('ping', {}, **context)

    def addresses(self) -> Sent:
        wrong = [self.value(), 'reply_gone', 'nova_cellmap', 'reply_' + 'x' * 300]
        message = call('ping', {}, self.chance.choice(wrong), self.value())
        message['_unique_id'] = self.value()
        return enveloped(message)

    def many(self) -> Sent:
        size = self.chance.choice([1001, 5000])
        uuids = [str(uuid.uuid4()) for _ in range(size)]
        made = [primitive(instance_uuid=each, project_id='p') for each in uuids[:1001]]
        method, given = self.chance.choice(
            [
                ('get_by_instance_uuids', uuids),
                ('destroy_bulk', uuids),
                ('create_bulk', made),
            ]
        )
        return self._call('object_class_action_versions', class_action(_LIST, method, given))

    def cells(self) -> Sent:
        url = self.chance.choice(['{username}:{password}', 'none:///', 'mysql+pymysql://u:p@h/d'])
        cell = primitive(
            _CELL,
            uuid=str(uuid.uuid4()),
            name=self.value(),
            transport_url=url,
            database_connection=url,
        )
        return self._call(
            'object_action', object_action(cell, self.chance.choice(['create', 'save']))
        )

    def nested(self) -> Sent:
        depth = self.chance.choice([13, 100, 900, 5000])
        value: Any = json.loads('[' * min(depth, 900) + ']' * min(depth, 900))
        if depth > 900:
            return Sent(b'[' * depth + b']' * depth, _JSON)
        return self._call(
            'object_class_action_versions', class_action(_LIST, 'create_bulk', value)
        )

    def broken(self) -> Sent:
        whole = self._call('ping', {}).body
        cut = self.chance.randrange(len(whole))
        body = self.chance.choice(
            [
                b'',
                whole[:cut],
                whole[:cut] + b'\xff\0' + whole[cut:],
                self.chance.randbytes(200),
                b'null',
                b'[1]',
                b'"x"',
                b'{"oslo.version": "9.0", "oslo.message": "{}"}',
                b'{"oslo.version": "2.0", "oslo.message": 5}',
                b'{"method": NaN}',
                b'9' * 10_000,
            ]
        )
        return Sent(body, _JSON)

    def encodings(self) -> Sent:
        whole = self._call('ping', {}).body
        properties = self.chance.choice(
            [
                {'content_type': 'application/x-python-serialize', 'content_encoding': 'binary'},
                {'content_type': 'application/x-yaml', 'content_encoding': 'utf-8'},
                {'content_type': 'text/plain', 'content_encoding': 'punycode'},
                {'content_type': 'application/json', 'content_encoding': 'punycode'},
                {'content_type': 'application/json', 'content_encoding': 'utf-16'},
                {'content_type': 'x' * 200},
                {},
            ]
        )
        return Sent(whole, properties)

    def compressed(self) -> Sent:
        zeros = b' ' * self.chance.choice([1000, 40_000_000])
        pack: Any
        pack, name = self.chance.choice(
            [
                (zlib.compress, 'application/x-gzip'),
                (bz2.compress, 'application/x-bz2'),
                (bytes, 'gzip'),
                (bytes, 'none'),
            ]
        )
        body = zeros[:1000] if pack is bytes else _packed(pack, zeros)
        return Sent(body, {**_JSON, 'headers': {'compression': name}})

    def usual(self) -> Sent:
        return self._call(
            'object_class_action_versions',
            class_action(_MAPPING, 'get_by_instance_uuid', str(uuid.uuid4())),
        )


_bombs: dict[Any, bytes] = {}


def _packed(pack: Callable[[bytes], bytes], body: bytes) -> bytes:
    key = (pack, len(body))
    if key not in _bombs:
        _bombs[key] = pack(body)
    return _bombs[key]


KINDS: dict[str, Callable[[Sender], Sent]] = {
    name: getattr(Sender, name)
    for name in (
        'arguments',
        'shapes',
        'objects',
        'names',
        'methods',
        'versions',
        'contexts',
        'addresses',
        'many',
        'cells',
        'nested',
        'broken',
        'encodings',
        'compressed',
        'usual',
    )
}


class Line:
    """A connection to the message queue on which anything can be sent to a conductor.

    :ivar answers: how many have come
    :ivar leaks: the answers that tell where in the conductor something happened
    """

    def __init__(self, transport_url: str, topic: str) -> None:
        self._connection = kombu.Connection(transport_url.replace('rabbit:', 'amqp:'))
        channel = self._connection.channel()
        self._producer = kombu.Producer(channel)
        self._topic = topic
        self.reply_q = f'reply_{uuid.uuid4().hex}'
        queue = kombu.Queue(self.reply_q, channel=channel, auto_delete=True, durable=False)
        queue.declare()
        self._consumer = kombu.Consumer(channel, [queue], on_message=self._take, no_ack=True)
        self._consumer.consume()
        self.answers: dict[str, dict[str, Any]] = {}
        self.leaks: list[str] = []

    @classmethod
    @contextlib.contextmanager
    def to(cls, transport_url: str, topic: str) -> Iterator['Line']:
        line = cls(transport_url, topic)
        try:
            yield line
        finally:
            line._connection.release()

    def send(self, sent: Sent) -> None:
        headers = sent.properties.get('headers', {})
        rest = {key: value for key, value in sent.properties.items() if key != 'headers'}
        # The producer would make text of it; None is for a body that stays as it is.
        channel = self._producer.channel
        message = channel.prepare_message(sent.body, headers=headers, **rest)
        channel.basic_publish(message, exchange='nova_cellmap', routing_key=self._topic)

    def ask(self, message: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
        """Send a message and wait for its answer: ``result``, or ``failure``."""
        self.send(enveloped({**message, '_reply_q': self.reply_q}))
        return self.wait_for(message['_msg_id'], seconds)

    def wait_for(self, msg_id: str, seconds: float = 60) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while msg_id not in self.answers:
            if time.monotonic() > end:
                raise AssertionError(f'no answer to {msg_id}')
            with contextlib.suppress(TimeoutError):
                self._connection.drain_events(timeout=1)
        return self.answers.pop(msg_id)

    def barrier(self, seconds: float = 60) -> float:
        """Wait until what was sent before has been taken; answer how long that took."""
        before = time.monotonic()
        self.ask(call('ping', {}, self.reply_q), seconds)
        return time.monotonic() - before

    def _take(self, message: Any) -> None:
        text = bytes(message.body).decode() if not isinstance(message.body, str) else message.body
        answer = json.loads(json.loads(text)['oslo.message'])
        failure = json.loads(answer['failure']) if answer.get('failure') else None
        if _LEAK.search(json.dumps(failure)):
            self.leaks.append(json.dumps(failure))
        self.answers[answer['_msg_id']] = {'result': answer.get('result'), 'failure': failure}


_LEAK = re.compile(r'Traceback|File \\"|\.py')
