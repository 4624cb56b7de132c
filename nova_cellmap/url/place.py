# SPDX-License-Identifier: Apache-2.0
"""Which database a URL leads to."""

import hashlib
import pathlib

import sqlalchemy as sa

_PORTS = {'mysql': 3306, 'postgresql': 5432}
# Parameters of a URL that say where a server is.
_WHERE = ('host', 'port', 'unix_socket')


def digest(connection_url: str) -> str:
    """Which database it is, in 64 characters: the same for any driver, user and password."""
    parsed = sa.make_url(connection_url)
    kind = parsed.get_backend_name().replace('mariadb', 'mysql')
    if kind == 'sqlite':
        place = [str(pathlib.Path(parsed.database or '').resolve())]
    else:
        place = [(parsed.host or '').lower(), str(parsed.port or _PORTS.get(kind))]
        place += [f'{name}={parsed.query.get(name)}' for name in _WHERE]
        place.append(parsed.database or '')
    return hashlib.sha256('\n'.join([kind, *place]).encode()).hexdigest()
