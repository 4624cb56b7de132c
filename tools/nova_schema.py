#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write Nova's own schema as the files that tests make it from.

    tox -e nova --notest
    tools/servers.py run --only mariadb --only postgresql -- .tox/nova/bin/python \
        tools/nova_schema.py

It needs Nova beside the package, and MariaDB and PostgreSQL, whose addresses are in the
environment, as the tests have them.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_schema
from nova_cellmap.tests.beside_nova import nova_manage


def main() -> None:
    for kind in ('sqlite', 'mariadb', 'postgresql'):
        with fixtures.Database(kind, created_with=nova_schema.CREATED_WITH[kind]) as database:
            nova_manage.sync(database.url)
            engine = fixtures.engine(database.url)
            nova_schema.file(kind).write_text(nova_schema.dump(engine))
            engine.dispose()


if __name__ == '__main__':
    main()
