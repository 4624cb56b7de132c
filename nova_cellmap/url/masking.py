# SPDX-License-Identifier: Apache-2.0
"""Hide the secrets of URLs.

A password with raw special characters makes a URL ambiguous. So no parser decides here: each
reading below returns the spans that may be secret, and all of them are hidden.
"""

import collections.abc
import re
import urllib.parse

from nova_cellmap.url import syntax

HIDDEN = '***'

_Span = tuple[int, int]

# A quoted colon counts too: some quote 'user:password' as a whole.
_COLON = re.compile(r':|%3A', re.I)
_HOST = (
    r'(?:\[(?:[0-9A-Fa-f:.]++(?:%\w++)?|\{hostname[0-9]*+\})\]'
    r'|(?:(?!%3[Aa])[^:@/?#\[\],\s])*+)'
    r'(?::(?:\{port[0-9]*+\}|[0-9]*+))?'
)
_ONE_HOST = re.compile(rf'{_HOST}(?=[/?#]|\Z)')
_HOSTS = re.compile(rf'{_HOST}(?:,{_HOST})*+(?=[/?#]|\Z)')
_TO_PORT = re.compile(r'(?:(?!%3A)[^/?#:])*+(?::|%3A)', re.I)

# Stricter than oslo.messaging: 'u:a@b,c@host' may be one password 'a@b,c' as well.
_PASSWORD = re.compile(r':([^:@/,?#\s]++)@')
_LOGIN = rf'[^:@/,?#\s]*+{_PASSWORD.pattern}{_HOST}'
_LOGINS = re.compile(rf'{_LOGIN}(?:,{_LOGIN})*+(?:[/?#][^@]*+)?')

# A value ends where something like another parameter begins, but not right after a '=', which
# is where a secret begins (again inside of an ODBC connection string).
_PARAMETER = re.compile(
    r'[?&;#/\s][^?&;#/=\s]++=(?P<value>.+?)'
    r'(?=(?<!=)&(?:[A-Za-z0-9_.%+-]++=|\{query\}(?:[&#]|\Z))|\Z)',
    re.S,
)
# What is secret, by the name of a parameter, or of one within its value (as in an ODBC
# connection string).
_SECRET = re.compile(
    'pass|pwd|secret|token|cred|odbc_connect|access_?key|api_?key|private_?key', re.I
)

# How often a URL is looked at: usual ones are the same after two times.
_MOST_TURNS = 8


def mask(url: str) -> str:
    """Return ``url`` with each secret as ``***``.

    Where it is not clear how far a secret goes, rather too much is hidden: all from the first
    ':' to the last '@', a port that is no number, text with no scheme that may hold a secret,
    text that is longer than a URL may be. Usernames and template fields stay.
    """
    if len(url) > syntax.MAX_LENGTH:
        return HIDDEN
    # What is left may read differently, e.g. since an '@' is gone. Each turn hides more of it.
    for _ in range(_MOST_TURNS):
        masked = _mask_once(url)
        if masked == url:
            return masked
        url = masked
    return HIDDEN


def _mask_once(url: str) -> str:
    scheme = syntax.SCHEME.match(url)
    if scheme is None:
        return HIDDEN if any(it in urllib.parse.unquote(url) for it in ':@=') else url
    rest = url[scheme.end() :]
    is_queue = scheme['name'].lower() in syntax.QUEUES
    spans = [*_in_login(rest, is_queue), *_in_port(rest, is_queue), *_in_parameters(rest)]
    secrets = [span for span in spans if not syntax.FIELD.fullmatch(rest, *span)]
    return scheme.group() + _hide(rest, secrets)


def _in_login(rest: str, is_queue: bool) -> list[_Span]:
    if is_queue and _LOGINS.fullmatch(rest):
        return [password.span(1) for password in _PASSWORD.finditer(rest)]
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
        if _tells_a_secret(urllib.parse.unquote(parameter.group()))
    ]


def _tells_a_secret(parameter: str) -> bool:
    """Whether it has the name of a secret, and later its value; or a URL with a password."""
    name = _SECRET.search(parameter)
    if name and name.end() <= max(parameter.rfind('='), parameter.rfind(':')):
        return True
    return -1 < parameter.find(':') < parameter.rfind('@')


def _hide(text: str, spans: collections.abc.Iterable[_Span]) -> str:
    """Return ``text`` with ``***`` for each run of overlapping spans."""
    parts, done = [], 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], HIDDEN]
        done = max(done, end)
    return ''.join(parts) + text[done:]
