# SPDX-License-Identifier: Apache-2.0
"""Fill templates of URLs."""

from collections.abc import Callable
import re
from typing import NamedTuple
import urllib.parse

from nova_cellmap.url import syntax
from nova_cellmap.url.masking import mask

_Values = dict[str, str | None]

# A field with what goes when the field has no value.
_SLOT = re.compile(
    r"""
    \{(?P<username>username[0-9]*+)\}(?::\{(?P<password>password[0-9]*+)\})?+@
    |
    (?P<lead> :(?=\{(?:password|port)) | \?(?=\{query\}(?:\#|\Z)) | \#(?=\{fragment\}\Z) )?
    (?P<bracket> \[(?=\{hostname[0-9]*+\}\]) )?
    """
    + syntax.FIELD.pattern
    + r'(?(bracket)\])',
    re.X,
)

_AFTER_HOSTS = r'(?P<path>/[^?#]*+)?+(?:\?(?P<query>[^#]*+))?+(?:#(?P<fragment>.*+))?+'
# As SQLAlchemy reads it: the username ends at the first ':', the password at the first '@'
# and may hold '/', '?' and '#'.
_DATABASE = re.compile(
    r'(?:(?P<username>[^:/]*)(?::(?P<password>[^@]*+))?@)?'
    r'(?:\[(?P<ipv6>[^/?#]+)\]|(?P<hostname>[^/:?#]++))?(?::(?P<port>[^/?#]*+))?' + _AFTER_HOSTS,
    re.S,
)
# As oslo.messaging reads it: hosts are split at ',', the password ends at the last '@' of one,
# and an IPv6 address without a port needs no brackets.
_TRANSPORT = re.compile(r'(?P<hosts>[^/?#]*+)' + _AFTER_HOSTS, re.S)
_ENDPOINT = re.compile(
    r'(?:\[(?P<ipv6>[^\[\]]*+)\]|(?P<hostname>[^:\[\]]*+))(?::(?P<port>[0-9]*+))?+', re.S
)
_BARE_IPV6 = re.compile(r'[0-9A-Fa-f.]*+(?::[0-9A-Fa-f.]*+){2,}+')
_NUMBER = re.compile('[0-9]*+')


class TemplateError(ValueError):
    """A template names fields that the base URL cannot fill."""


class _Host(NamedTuple):
    username: str | None
    password: str | None
    hostname: str | None
    port: str | None


class _Parsed(NamedTuple):
    path: str | None
    query: str | None
    fragment: str | None
    # At least one.
    hosts: list[_Host]


def fill(template: str, base: str | None) -> str:
    """Return ``template`` with its fields filled from the URL ``base``.

    What the base does not have goes with its separator: ``:{port}``, ``:{password}``,
    ``{username}@``, and a ``?{query}`` or ``#{fragment}`` at the end. Usernames and passwords
    are quoted, IPv6 addresses put in brackets. A template without a field stays as it is.

    :raises TemplateError: when there is no base, when it cannot be parsed, when it has no
        host of a field's number, or when one of the three is longer than a URL may be
    """
    fields = _fields(template)
    if not fields:
        return template
    if max(len(template), len(base or '')) > syntax.MAX_LENGTH:
        raise _too_long()
    values = _values(base) if base else {}
    missing = ', '.join(f'{{{field}}}' for field in fields if field not in values)
    if missing:
        raise TemplateError(f'Cannot fill {missing} in {mask(template)}: {_why(base, values)}.')
    filled = _filled(template, values.get)
    if len(filled) > syntax.MAX_LENGTH:
        raise _too_long()
    return filled


def fill_like(template: str, scheme: str) -> str:
    """Return what ``template`` could become, where the base's scheme is ``scheme``.

    Each field has a value that says nothing; that of the query is empty.
    """
    like: _Values = {'scheme': scheme, 'port': '1', 'query': None, 'fragment': None}

    def value(field: str) -> str | None:
        kind = field.rstrip('0123456789')
        return like.get(kind, kind)

    return _filled(template, value)


def _too_long() -> TemplateError:
    return TemplateError(
        f'Cannot fill a template: it, the URL in the options and what comes of them have at most '
        f'{syntax.MAX_LENGTH} characters.'
    )


def _fields(template: str) -> list[str]:
    """The fields, each once."""
    return list(dict.fromkeys(found['field'] for found in syntax.FIELD.finditer(template)))


def _why(base: str | None, values: _Values) -> str:
    if not base:
        return 'the options have no URL to fill it from'
    if not values:
        return f'the URL in the options cannot be parsed: {mask(base)}'
    return f'the URL in the options has no host of that number: {mask(base)}'


def _filled(template: str, value: Callable[[str], str | None]) -> str:
    return _SLOT.sub(lambda slot: _fill_slot(slot, value), template)


def _fill_slot(slot: re.Match[str], value: Callable[[str], str | None]) -> str:
    if slot['username']:
        password = slot['password']
        return _login(value(slot['username']), value(password) if password else None)
    filled = value(slot['field'])
    return '' if filled is None else (slot['lead'] or '') + filled


def _login(username: str | None, password: str | None) -> str:
    if username is None and password is None:
        return ''
    return (username or '') + ('' if password is None else f':{password}') + '@'


def _values(base: str) -> _Values:
    """Return the value of each field, None for what ``base`` lacks; {} if it is no URL."""
    scheme = syntax.SCHEME.match(base)
    parsed = scheme and _parse(scheme['name'], base[scheme.end() :])
    if not (scheme and parsed):
        return {}
    values: _Values = {
        'scheme': scheme.group().removesuffix('://'),
        'path': (parsed.path or '').removeprefix('/'),
        'query': parsed.query or None,
        'fragment': parsed.fragment or None,
        **_host_values(parsed.hosts[0]),
    }
    for number, host in enumerate(parsed.hosts, start=1):
        values |= {f'{field}{number}': value for field, value in _host_values(host).items()}
    return values


def _host_values(host: _Host) -> _Values:
    hostname = host.hostname
    return {
        'username': _quote(host.username),
        'password': _quote(host.password),
        'hostname': f'[{hostname}]' if hostname and ':' in hostname else hostname,
        'port': host.port or None,
    }


def _quote(value: str | None) -> str | None:
    return None if value is None else urllib.parse.quote(urllib.parse.unquote(value), safe='')


def _parse(scheme: str, rest: str) -> _Parsed | None:
    """Return what is in a URL after ``://``, or None.

    The library that would use the scheme has the first say. The other way of reading is for
    what that library rejects, such as a raw '#' in the password of a queue.
    """
    if scheme.lower() in syntax.QUEUES:
        return _parse_transport(rest) or _parse_database(rest)
    return _parse_database(rest) or _parse_transport(rest)


def _parse_database(rest: str) -> _Parsed | None:
    whole = _DATABASE.fullmatch(rest)
    if whole is None or not _NUMBER.fullmatch(whole['port'] or ''):
        return None
    hostname = whole['ipv6'] or whole['hostname']
    host = _Host(whole['username'], whole['password'], hostname, whole['port'])
    return _Parsed(whole['path'], whole['query'], whole['fragment'], [host])


def _parse_transport(rest: str) -> _Parsed | None:
    # As urllib does before oslo.messaging sees it.
    whole = _TRANSPORT.fullmatch(rest.translate(dict.fromkeys(map(ord, '\t\r\n'))))
    assert whole  # the pattern matches any text
    texts = [text for text in whole['hosts'].split(',') if text] or ['']
    hosts = [host for text in texts if (host := _parse_host(text))]
    if len(hosts) < len(texts):
        return None
    return _Parsed(whole['path'], whole['query'], whole['fragment'], hosts)


def _parse_host(text: str) -> _Host | None:
    login, at, place = text.rpartition('@')
    username, colon, password = login.partition(':')
    whole = _ENDPOINT.fullmatch(place)
    if whole:
        hostname, port = whole['ipv6'] or whole['hostname'], whole['port']
    elif _BARE_IPV6.fullmatch(place):
        hostname, port = place, None
    else:
        return None
    return _Host(username if at else None, password if colon else None, hostname, port)
