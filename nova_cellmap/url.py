# SPDX-License-Identifier: Apache-2.0
"""The URLs of cells: hide their secrets, fill templates of them, check them.

A cell has two URLs: that of its database (SQLAlchemy's syntax) and that of its message queue
(oslo.messaging's, which may list several hosts). Either may be a template, whose fields are
filled from the URL in the options:

* ``{scheme}``, ``{path}``, ``{query}``, ``{fragment}``;
* ``{username}``, ``{password}``, ``{hostname}``, ``{port}`` of the (first) host;
* the same four with a number from 1, as ``{username2}``, of that host in the list.

Any other brace stands for itself.
"""

import collections.abc
import re
import urllib.parse

HIDDEN = '***'

_FIELD = re.compile(
    r'\{(?P<field>scheme|path|query|fragment|(?:username|password|hostname|port)[0-9]*)\}'
)


class TemplateError(ValueError):
    """A template names fields that the base URL cannot fill."""


class InvalidURL(ValueError):
    """A URL that SQLAlchemy or oslo.messaging could not use."""


def is_template(url: str) -> bool:
    """Return whether ``url`` holds a field to be filled."""
    # The first test is a tenth of the second, and few have fields.
    return '{' in url and _FIELD.search(url) is not None


def is_none(url: str) -> bool:
    """Return whether ``url`` (``none:///``) says that there is no database, or no queue."""
    return url.lower().startswith('none://')


# Hide secrets
#
# A password with raw special characters makes a URL ambiguous. So no parser decides here: each
# reading below returns the spans that may be secret, and all of them are hidden.

_Span = tuple[int, int]

# Schemes whose URLs may list several hosts, each with a password of its own. A template's
# {scheme} may become any of them.
_QUEUES = frozenset(
    ('amqp', 'amqps', 'fake', 'kafka', 'kombu', 'pulsar', 'qpid', 'rabbit', 'zmq', '{scheme}')
)
_SCHEME = re.compile(r'(?P<name>[A-Za-z0-9_.-]+|\{scheme\})(?:\+[A-Za-z0-9_.+-]*)?://')

# A quoted colon counts too: some quote 'user:password' as a whole.
_COLON = re.compile(r':|%3A', re.I)
_HOST = (
    r'(?:\[(?:[0-9A-Fa-f:.]+(?:%\w+)?|\{hostname[0-9]*\})\]'
    r'|(?:(?!%3[Aa])[^:@/?#\[\],\s])*)'
    r'(?::(?:[0-9]*|\{port[0-9]*\}))?'
)
_ONE_HOST = re.compile(rf'{_HOST}(?=[/?#]|\Z)')
_HOSTS = re.compile(rf'{_HOST}(?:,{_HOST})*(?=[/?#]|\Z)')
_TO_PORT = re.compile(r'[^/?#]*?(?::|%3A)', re.I)

# Stricter than oslo.messaging: 'u:a@b,c@host' may be one password 'a@b,c' as well.
_PASSWORD = r':([^:@/,?#\s]+)@'
_LOGIN = rf'[^:@/,?#\s]*{_PASSWORD}{_HOST}'
_LOGINS = re.compile(rf'{_LOGIN}(?:,{_LOGIN})*(?:[/?#][^@]*)?')

# A value ends where something like another parameter begins, but not right after a '=', which
# is where a secret begins (again inside of an ODBC connection string).
_PARAMETER = re.compile(
    r'[?&;#/\s][^?&;#/=\s]+=(?P<value>.+?)'
    r'(?=(?<!=)&(?:[A-Za-z0-9_.%+-]+=|\{query\}(?:[&#]|\Z))|\Z)',
    re.S,
)
# A parameter's key, or a key or a URL inside of its value (as in an ODBC connection string).
_SECRET = re.compile(
    r'(?:pass|pwd|secret|token|cred|odbc_connect|(?:access|api|private)_?key)[^=:]*[=:]|:.*@',
    re.I | re.S,
)


def mask(url: str) -> str:
    """Return ``url`` with each secret as ``***``.

    Where it is not clear how far a secret goes, rather too much is hidden: all from the first
    ':' to the last '@', a port that is no number, text with no scheme that may hold a secret.
    Usernames and template fields stay.
    """
    masked = _mask_once(url)
    # What is left may read differently, e.g. since an '@' is gone. Each turn hides more of it.
    while masked != url:
        url, masked = masked, _mask_once(masked)
    return masked


def _mask_once(url: str) -> str:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return HIDDEN if re.search('[:@=]', urllib.parse.unquote(url)) else url
    rest = url[scheme.end() :]
    is_queue = scheme['name'].lower() in _QUEUES
    spans = [*_in_login(rest, is_queue), *_in_port(rest, is_queue), *_in_parameters(rest)]
    return scheme.group() + _hide(rest, [s for s in spans if not _FIELD.fullmatch(rest, *s)])


def _in_login(rest: str, is_queue: bool) -> list[_Span]:
    if is_queue and _LOGINS.fullmatch(rest):
        return [password.span(1) for password in re.finditer(_PASSWORD, rest)]
    end = max(rest.rfind('@'), 0)
    colon = _COLON.search(rest, 0, end)
    return [(colon.end(), end)] if colon else []


def _in_port(rest: str, is_queue: bool) -> list[_Span]:
    start = rest.rfind('@') + 1
    hosts = _HOSTS if is_queue else _ONE_HOST
    to_port = None if hosts.match(rest, start) else _TO_PORT.match(rest, start)
    # No number: 'user:password' without an '@'. The password may hold a '/' too.
    return [(to_port.end(), len(rest))] if to_port else []


def _in_parameters(rest: str) -> list[_Span]:
    return [
        parameter.span('value')
        for parameter in _PARAMETER.finditer(rest)
        if _SECRET.search(urllib.parse.unquote(parameter.group()))
    ]


def _hide(text: str, spans: collections.abc.Iterable[_Span]) -> str:
    """Return ``text`` with ``***`` for each run of overlapping spans."""
    parts, done = [], 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], HIDDEN]
        done = max(done, end)
    return ''.join(parts) + text[done:]


# Fill templates

_Values = dict[str, str | None]

# A field with what goes when the field has no value.
_SLOT = re.compile(
    r"""
    \{(?P<username>username[0-9]*)\}(?::\{(?P<password>password[0-9]*)\})?@
    |
    (?P<lead> :(?=\{(?:password|port)) | \?(?=\{query\}(?:\#|\Z)) | \#(?=\{fragment\}\Z) )?
    (?P<bracket> \[(?=\{hostname[0-9]*\}\]) )?
    """
    + _FIELD.pattern
    + r'(?(bracket)\])',
    re.X,
)

_AFTER_HOSTS = r'(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?'
# As SQLAlchemy reads it: the username ends at the first ':', the password at the first '@'
# and may hold '/', '?' and '#'.
_DATABASE = re.compile(
    r'(?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?'
    r'(?:\[(?P<ipv6>[^/?#]+)\]|(?P<hostname>[^/:?#]+))?(?::(?P<port>[^/?#]*))?' + _AFTER_HOSTS,
    re.S,
)
# As oslo.messaging reads it: hosts are split at ',', the password ends at the last '@' of one,
# and an IPv6 address without a port needs no brackets.
_TRANSPORT = re.compile(r'(?P<hosts>[^/?#]*)' + _AFTER_HOSTS, re.S)
_ENDPOINT = re.compile(
    r'(?:(?P<username>[^:]*)(?::(?P<password>.*))?@)?'
    r'(?:\[(?P<ipv6>[^@\[\]]*)\]|(?P<hostname>[^:@\[\]]*|[0-9A-Fa-f.]*(?::[0-9A-Fa-f.]*){2,}))'
    r'(?::(?P<port>[^:]*))?',
    re.S,
)


def fill(template: str, base: str | None) -> str:
    """Return ``template`` with its fields filled from the URL ``base``.

    What the base does not have goes with its separator: ``:{port}``, ``:{password}``,
    ``{username}@``, and a ``?{query}`` or ``#{fragment}`` at the end. Usernames and passwords
    are quoted, IPv6 addresses put in brackets. A template without a field stays as it is.

    :raises TemplateError: when there is no base, when it cannot be parsed, or when it has no
        host of a field's number
    """
    fields = list(dict.fromkeys(found['field'] for found in _FIELD.finditer(template)))
    if not fields:
        return template
    values = _values(base) if base else {}
    missing = ', '.join(f'{{{field}}}' for field in fields if field not in values)
    if missing:
        raise TemplateError(f'Cannot fill {missing} in {mask(template)}: {_why(base, values)}.')
    return _SLOT.sub(lambda slot: _fill_slot(slot, values), template)


def _why(base: str | None, values: _Values) -> str:
    if not base:
        return 'the options have no URL to fill it from'
    if not values:
        return f'the URL in the options cannot be parsed: {mask(base)}'
    return f'the URL in the options has no host of that number: {mask(base)}'


def _fill_slot(slot: re.Match[str], values: _Values) -> str:
    if slot['username']:
        return _login(values[slot['username']], values.get(slot['password'] or ''))
    value = values[slot['field']]
    return '' if value is None else (slot['lead'] or '') + value


def _login(username: str | None, password: str | None) -> str:
    if username is None and password is None:
        return ''
    return (username or '') + ('' if password is None else f':{password}') + '@'


def _values(base: str) -> _Values:
    """Return the value of each field, None for what ``base`` lacks; {} if it is no URL."""
    scheme = _SCHEME.match(base)
    parsed = scheme and _parse(scheme['name'], base[scheme.end() :])
    if not (scheme and parsed):
        return {}
    whole, hosts = parsed
    values: _Values = {
        'scheme': scheme.group().removesuffix('://'),
        'path': (whole['path'] or '').removeprefix('/'),
        'query': whole['query'] or None,
        'fragment': whole['fragment'] or None,
        **_host_values(hosts[0]),
    }
    for number, host in enumerate(hosts, start=1):
        values |= {f'{field}{number}': value for field, value in _host_values(host).items()}
    return values


def _host_values(host: re.Match[str]) -> _Values:
    hostname = host['ipv6'] or host['hostname']
    return {
        'username': _quote(host['username']),
        'password': _quote(host['password']),
        'hostname': f'[{hostname}]' if hostname and ':' in hostname else hostname,
        'port': host['port'] or None,
    }


def _quote(value: str | None) -> str | None:
    return None if value is None else urllib.parse.quote(urllib.parse.unquote(value), safe='')


_Parsed = tuple[re.Match[str], list[re.Match[str]]]


def _parse(scheme: str, rest: str) -> _Parsed | None:
    """Return the matches of the whole URL and of its hosts (at least one), or None.

    The library that would use the scheme has the first say. The other way of reading is for
    what that library rejects, such as a raw '#' in the password of a queue.
    """
    if scheme.lower() in _QUEUES:
        return _parse_transport(rest) or _parse_database(rest)
    return _parse_database(rest) or _parse_transport(rest)


def _parse_database(rest: str) -> _Parsed | None:
    whole = _DATABASE.fullmatch(rest)
    return (whole, [whole]) if whole and _has_valid_port(whole) else None


def _parse_transport(rest: str) -> _Parsed | None:
    # As urllib does before oslo.messaging sees it.
    whole = _TRANSPORT.fullmatch(re.sub(r'[\t\r\n]', '', rest))
    assert whole  # the pattern matches any text
    texts = [text for text in whole['hosts'].split(',') if text] or ['']
    hosts = [host for text in texts if (host := _ENDPOINT.fullmatch(text))]
    is_valid = len(hosts) == len(texts) and all(map(_has_valid_port, hosts))
    return (whole, hosts) if is_valid else None


def _has_valid_port(host: re.Match[str]) -> bool:
    return re.fullmatch('[0-9]*', host['port'] or '') is not None


# Check URLs
#
# The libraries are imported when they are needed: hiding and filling do without them. Their
# errors quote the URL with its password. So those end in the _problem functions, and InvalidURL
# is raised outside of their handlers: it has no context for a traceback to show.

_PACKAGES = {
    'MySQLdb': 'mysqlclient',
    'pymysql': 'PyMySQL',
    'mysql': 'mysql-connector-python',
    'psycopg2': 'psycopg2-binary',
    'cx_Oracle': 'cx-Oracle',
}
_QUOTING = (
    'a port has to be a number, an IPv6 address in brackets, and special characters in a '
    'username or password quoted, e.g. / as %2F'
)


def check_database(url: str) -> None:
    """Check that SQLAlchemy can use ``url``, without connecting.

    :raises InvalidURL: when it cannot be parsed, or its dialect or driver is not there
    """
    if is_none(url):
        return
    problem = _database_problem(url)
    if problem:
        raise InvalidURL(
            f'Not a usable database URL: {mask(url)}: {problem}. A URL looks like '
            'mysql+pymysql://user:password@db.example.org:3306/nova_cell1, or none:/// for no '
            'database.'
        )


def _database_problem(url: str) -> str | None:
    from sqlalchemy import engine
    from sqlalchemy import exc

    try:
        parsed = engine.make_url(url)
    except (exc.SQLAlchemyError, ValueError):
        return f'it cannot be parsed ({_QUOTING})'
    if '@' in (parsed.host or ''):
        # SQLAlchemy takes it, but it would be looked up as the name of a host.
        return 'an @ in its username or password has to be quoted as %40'
    try:
        parsed.get_dialect().import_dbapi()
    except ImportError as error:
        module = (error.name or parsed.drivername).partition('.')[0]
        package = _PACKAGES.get(module, module)
        return (
            f'the driver of {parsed.drivername} is not installed (install the Python package '
            f'{package}, or name another driver)'
        )
    except (exc.NoSuchModuleError, AttributeError, ValueError):
        # The latter two come from odd names: 'mysql+types', 'mysql+a+b'.
        return f'SQLAlchemy knows no dialect or driver {parsed.drivername}'
    return None


def check_transport(url: str) -> None:
    """Check that oslo.messaging can parse ``url``.

    :raises InvalidURL: when it cannot, or when there is no scheme
    """
    if is_none(url):
        return
    problem = _transport_problem(url)
    if problem:
        raise InvalidURL(
            f'Not a usable transport URL: {mask(url)}: {problem}. A URL looks like '
            'rabbit://user:password@mq.example.org:5672/vhost, or none:/// for no queue.'
        )


def _transport_problem(url: str) -> str | None:
    from oslo_config import cfg
    import oslo_messaging

    if not _SCHEME.match(url):
        return 'it does not start with a scheme and ://'
    try:
        oslo_messaging.TransportURL.parse(cfg.ConfigOpts(), url)
    except (oslo_messaging.InvalidTransportURL, ValueError):
        return f'it cannot be parsed ({_QUOTING})'
    return None
