# SPDX-License-Identifier: Apache-2.0
"""What comes over the message queue, bounded before anything looks at it.

A body that is too long is not parsed, and one that is compressed is unpacked only so far. What
is left of either is a call that the conductor refuses, so that its caller is told at once. What
is no call at all is dropped: there is nobody to answer.
"""

import bz2
from collections.abc import Callable
import json
import lzma
import re
import sys
from typing import Any, NamedTuple
import weakref
import zlib

from kombu import compression
from kombu import serialization
from kombu.utils import json as kombu_json

from nova_cellmap.conductor import admission

# In bytes. A page of 1000 mappings with their cells takes 1 MB.
MAX_BODY = 16 * 1024 * 1024

# The method that a body which was not parsed becomes a call of.
TOO_LONG = 'nova_cellmap.too_long'
MALFORMED = 'nova_cellmap.malformed'

_ENVELOPE = ('oslo.version', 'oslo.message')
# oslo.messaging's own: a uuid, or with its queue manager the names of a machine and a process.
_ID = re.compile(r'[\x21-\x7e]{1,200}')
_REPLY_QUEUE = re.compile(r'reply_[\x21-\x7e]{1,200}')
# They are behind the arguments: what is looked at of a body that is not parsed.
_TAIL = 16 * 1024
# oslo.messaging makes keyword arguments of them.
_CONTEXT = '_context_'
_TAKEN_NAMES = frozenset({'self', 'cls'})
_ADDRESS = re.compile(
    r'"(_msg_id|_reply_q|_unique_id)\\?": ?\\?"([\x21\x23-\x5b\x5d-\x7e]{1,210})\\?"'
)
# In seconds: for how long a caller may ask to be told that its call goes on.
_MAX_PATIENCE = 3600


class Limits(NamedTuple):
    """What this process takes.

    :ivar body: the greatest length of one body, in bytes
    :ivar room: how much may be worked on at once
    """

    body: int
    room: admission.Room


def bound(limits: Limits) -> None:
    """Have every body that comes to this process from now on bounded by *limits*."""
    # Neither kombu nor oslo.messaging says of what types its arguments are.
    register: Any = serialization.register
    register(
        'json',
        kombu_json.dumps,
        lambda body: read(body, limits),
        content_type='application/json',
        content_encoding='utf-8',
    )
    _bound_compressions(compression, limits.body)
    # py-amqp decodes a body with whatever encoding its sender names; this one takes the square
    # of its length.
    sys.modules['encodings.punycode'] = None  # type: ignore[assignment]


def _bound_compressions(registry: Any, limit: int) -> None:
    for content_type in registry.encoders():
        registry.register(_refused, _refused, content_type)
    for name, (pack, unpack) in _COMPRESSIONS.items():
        _, content_type = registry.get_encoder(name)
        registry.register(pack, _bounded(unpack, limit), content_type)


class Message(dict[str, Any]):
    """A call that has arrived; while it is worked on, it takes up room."""


def read(body: Any, limits: Limits) -> dict[str, Any]:
    """The call in a body, without its envelope; one that nobody answers where there is none."""
    raw = bytes(body) if isinstance(body, memoryview | bytearray) else body
    if len(raw) > limits.body:
        message = _unparsed(raw, TOO_LONG)
    else:
        try:
            message = _parsed(raw)
        except (RecursionError, ValueError):
            message = _unparsed(raw, MALFORMED)
    if 'method' in message:
        size = limits.room.enter(len(raw))
        weakref.finalize(message, limits.room.leave, size).atexit = False
    return message


def _parsed(raw: str | bytes) -> Message:
    outer = _decode(raw)
    if isinstance(outer, dict) and all(key in outer for key in _ENVELOPE):
        if outer['oslo.version'] != '2.0' or not isinstance(outer['oslo.message'], str):
            raise ValueError('an envelope of another kind')
        outer = _decode(outer['oslo.message'])
    if not isinstance(outer, dict):
        raise ValueError('no message')
    message = Message(outer)
    _keep_usable(message)
    return message


def _keep_usable(message: Message) -> None:
    """Drop what oslo.messaging would stumble over.

    :raises: ValueError where an answer is asked for and cannot be given
    """
    for name, pattern in (('_msg_id', _ID), ('_reply_q', _REPLY_QUEUE), ('_unique_id', _ID)):
        value = message.get(name)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            raise ValueError(f'{name} is no such thing')
    is_asked, is_told = message.get('_msg_id') is not None, message.get('_reply_q') is not None
    if 'method' in message and is_asked is not is_told:
        raise ValueError('an answer is asked for, and nowhere to send it')
    for name in message:
        if name.startswith(_CONTEXT) and name.removeprefix(_CONTEXT) in _TAKEN_NAMES:
            raise ValueError(f'{name} is no name')
    patience: Any = message.get('_timeout')
    if not (type(patience) in (int, float) and 2 <= patience <= _MAX_PATIENCE):
        message.pop('_timeout', None)


def _unparsed(raw: str | bytes, method: str) -> Message:
    """A call of *method*, to be answered as the one in the body would have been."""
    tail = raw[-_TAIL:]
    text = tail.decode(errors='replace') if isinstance(tail, bytes) else tail
    message = Message(method=method, args={})
    # The last is the message's own: what is before it may be in an argument.
    message.update(_ADDRESS.findall(text))
    try:
        _keep_usable(message)
    except ValueError:
        return Message(method=method, args={})
    return message


def _no_constant(name: str) -> Any:
    raise ValueError(f'{name} is no number')


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _decode(raw: str | bytes) -> Any:
    text = raw.decode() if isinstance(raw, bytes) else raw
    return _DECODER.decode(text)


def _bounded(unpack: Callable[[bytes, int], bytes], limit: int) -> Callable[[bytes], bytes]:
    # A byte more tells that it is too long; it cannot be answered, since its end is not known.
    return lambda packed: unpack(packed, limit + 1)


def _refused(body: Any) -> Any:
    raise ValueError('compressed in a way that is not taken')


_COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes, int], bytes]]] = {
    'gzip': (zlib.compress, lambda packed, size: zlib.decompressobj().decompress(packed, size)),
    'bzip2': (bz2.compress, lambda packed, size: bz2.BZ2Decompressor().decompress(packed, size)),
    'lzma': (lzma.compress, lambda packed, size: lzma.LZMADecompressor().decompress(packed, size)),
}
