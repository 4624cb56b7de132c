# SPDX-License-Identifier: Apache-2.0
"""Bodies that come over the message queue."""

import gc
import json
from typing import Any
import zlib

from kombu import compression
from kombu import serialization

from nova_cellmap.conductor import admission
from nova_cellmap.conductor import message
from nova_cellmap.tests import base

_ADDRESS = {'_msg_id': 'a' * 32, '_reply_q': 'reply_x', '_unique_id': 'b' * 32}
_LIMIT = 10_000


def body(**changed: Any) -> bytes:
    """As oslo.messaging makes it."""
    whole = {'method': 'ping', 'args': {}, 'namespace': 'n', 'version': '1.0', **_ADDRESS}
    inner = json.dumps({**whole, **changed})
    return json.dumps({'oslo.version': '2.0', 'oslo.message': inner}).encode()


class Read(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.room = admission.Room(4 * _LIMIT, patience=0.01)
        self.limits = message.Limits(_LIMIT, self.room)

    def read(self, raw: Any) -> dict[str, Any]:
        return message.read(raw, self.limits)

    def assert_dropped(self, raw: Any) -> None:
        self.assertEqual({'method': message.MALFORMED, 'args': {}}, self.read(raw))

    def test_a_call_is_read_without_its_envelope(self) -> None:
        for raw in (body(), body().decode(), memoryview(body()), bytearray(body())):
            read = self.read(raw)
            self.assertEqual('ping', read['method'])
            self.assertLessEqual(_ADDRESS.items(), read.items())

    def test_what_is_too_long_is_not_parsed_and_can_be_answered(self) -> None:
        long: Any = ({'x': 'y' * _LIMIT}, {'x': '"_msg_id": "forged"' * _LIMIT}, [[]] * _LIMIT)
        for args in long:
            read = self.read(body(args=args, **_ADDRESS))
            # They are behind the arguments, as oslo.messaging has them.
            self.assertEqual({'method': message.TOO_LONG, 'args': {}, **_ADDRESS}, read)

    def test_what_cannot_be_parsed_can_be_answered(self) -> None:
        broken = body().replace(b'ping', b'\\ud800"')
        for raw in (broken, body()[:-1], b'[' * 9000 + body()):
            self.assertEqual({'method': message.MALFORMED, 'args': {}, **_ADDRESS}, self.read(raw))

    def test_what_is_no_message_is_dropped(self) -> None:
        envelopes = [
            {'oslo.version': '9.0', 'oslo.message': '{}'},
            {'oslo.version': '9' * 5000, 'oslo.message': '{}'},
            {'oslo.version': '2.0', 'oslo.message': 5},
            {'oslo.version': '2.0', 'oslo.message': '[1]'},
        ]
        for raw in (
            *(json.dumps(each).encode() for each in envelopes),
            *(b'', b'null', b'[]', b'"x"', b'5', b'\xff\xfe', b'{"x": NaN}', b'9' * 6000),
            b'{' * 9000,
        ):
            self.assert_dropped(raw)

    def test_addresses_that_are_none_are_dropped(self) -> None:
        wrong: Any = ('', 'x\ny', 'x' * 300, 5, [], {'x': 1}, '\u65e5')
        for value in wrong:
            for name in ('_msg_id', '_reply_q'):
                self.assert_dropped(body(**{**_ADDRESS, name: value}))
            read = self.read(body(**{**_ADDRESS, '_unique_id': value}))
            self.assertEqual(message.MALFORMED, read['method'])
        for value in ('nova', 'nova_cellmap-conductor', 'reply_' + 'x' * 300):
            self.assert_dropped(body(_reply_q=value))
        for missing in ('_msg_id', '_reply_q'):
            self.assert_dropped(body(**{missing: None}))

    def test_a_cast_asks_for_no_answer(self) -> None:
        read = self.read(body(_msg_id=None, _reply_q=None))
        self.assertEqual('ping', read['method'])

    def test_names_of_a_context_that_would_be_arguments_are_refused(self) -> None:
        for name in ('self', 'cls'):
            read = self.read(body(**{f'_context_{name}': 'x'}))
            self.assertEqual({'method': message.MALFORMED, 'args': {}, **_ADDRESS}, read)

    def test_how_long_a_caller_wants_to_wait_is_a_number_of_seconds(self) -> None:
        wrong: Any = (None, True, 'x', [1], -1, 0, 1, 1e308, 10**50)
        for value in wrong:
            self.assertNotIn('_timeout', self.read(body(_timeout=value)))
        self.assertEqual(60, self.read(body(_timeout=60))['_timeout'])

    def test_a_call_takes_room_until_it_is_done(self) -> None:
        held = [self.read(body()) for _ in range(5)]
        self.assertLess(0, self.room.taken)
        held.clear()
        gc.collect()
        self.assertEqual(0, self.room.taken)

    def test_answers_take_no_room(self) -> None:
        inner = json.dumps({'result': 5, '_msg_id': 'x', 'failure': None, 'ending': True})
        answer = self.read(json.dumps({'oslo.version': '2.0', 'oslo.message': inner}))
        self.assertEqual((5, 0), (answer['result'], self.room.taken))


class Room(base.TestCase):
    def test_no_more_is_taken_than_there_is_room_for(self) -> None:
        room = admission.Room(1000, patience=0.01)
        self.assertEqual(600, room.enter(600))
        self.assertEqual(400, room.enter(400))
        # One that has waited long enough is taken all the same.
        self.assertEqual(1000, room.enter(5000))
        for size in (600, 400, 1000):
            room.leave(size)
        self.assertEqual(0, room.taken)

    def test_however_small_they_are_so_many_are_taken(self) -> None:
        room = admission.Room(256_000, patience=0.01)
        for _ in range(256):
            room.enter(1)
        self.assertEqual(256_000, room.taken)


class Bound(base.TestCase):
    """What kombu does with a body."""

    def setUp(self) -> None:
        super().setUp()
        registry: Any = serialization.registry
        kept = dict(registry._encoders), dict(registry._decoders)
        self.addCleanup(
            lambda: (registry._encoders.update(kept[0]), registry._decoders.update(kept[1]))
        )
        zipped: Any = compression
        packs = dict(zipped._encoders), dict(zipped._decoders)
        self.addCleanup(
            lambda: (zipped._encoders.update(packs[0]), zipped._decoders.update(packs[1]))
        )
        message.bound(message.Limits(_LIMIT, admission.Room(_LIMIT)))

    def test_bodies_are_bounded(self) -> None:
        loads: Any = serialization.loads
        read = loads(body(args={'x': 'y' * _LIMIT}), 'application/json', 'utf-8')
        self.assertEqual(message.TOO_LONG, read['method'])
        self.assertEqual('ping', loads(body(), 'application/json', 'utf-8')['method'])

    def test_what_is_compressed_is_unpacked_so_far_and_no_further(self) -> None:
        registry: Any = compression
        for name in ('gzip', 'bzip2', 'lzma'):
            packed, content_type = registry.compress(b' ' * 10_000_000, name)
            self.assertEqual(_LIMIT + 1, len(registry.decompress(packed, content_type)))
            packed, content_type = registry.compress(b'small', name)
            self.assertEqual(b'small', registry.decompress(packed, content_type))
        self.assertEqual(b'x', zlib.decompress(registry.compress(b'x', 'gzip')[0]))

    def test_an_encoding_that_takes_the_square_is_not_there(self) -> None:
        self.assertRaises(LookupError, b'x'.decode, 'Punycode_')
