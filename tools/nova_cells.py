# SPDX-License-Identifier: Apache-2.0
"""Tell which cells a Nova deployment on SQLite has, for tools/quickstart.

    python3 nova_cells.py DIR

reads nova_api.sqlite in the folder DIR and prints a line for each cell, of fields that a unit
separator (1F) divides: the name, or else the uuid; the file of its database; no where the URL
is of that file in the working folder, or yes. It needs nothing but Python, and changes no file.
"""

import contextlib
from pathlib import Path
import sqlite3
import sys
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Only its module url is used, which needs nothing installed.
sys.path.insert(0, str(ROOT))

from nova_cellmap import url  # noqa: E402

PREFIX = 'sqlite:///'


class NotUsable(Exception):
    """The folder is not one that the quickstart can work on."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 64
    try:
        for fields in cells(Path(arguments[0])):
            print('\x1f'.join(fields))
    except (NotUsable, sqlite3.Error) as error:
        print(f'{arguments[0]}: {error}', file=sys.stderr)
        return 66
    return 0


def cells(folder: Path) -> list[tuple[str, ...]]:
    """:raises: NotUsable, sqlite3.Error"""
    check_files(folder, ['nova_api.sqlite'])
    rows = cell_mappings(folder / 'nova_api.sqlite')
    if not rows:
        raise NotUsable('nova_api.sqlite has no cell mappings')
    files = [file_of(name or uuid, database) for uuid, name, database in rows]
    check_files(folder, files)
    return [
        (name or uuid, file, 'no' if database == PREFIX + file else 'yes')
        for (uuid, name, database), file in zip(rows, files, strict=True)
    ]


def cell_mappings(path: Path) -> list[Any]:
    query = 'SELECT uuid, name, database_connection FROM cell_mappings'
    with contextlib.closing(sqlite3.connect(f'{path.as_uri()}?mode=ro', uri=True)) as connection:
        return connection.execute(f'{query} ORDER BY id').fetchall()


def file_of(name: str, database: str | None) -> str:
    file = Path((database or '').removeprefix(PREFIX)).name
    if not (database or '').startswith(PREFIX) or not file:
        raise NotUsable(
            f'the database_connection of cell {name} has to be {PREFIX}FILE, and is '
            f'{url.mask(database or "empty")}'
        )
    return file


def check_files(folder: Path, names: list[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise NotUsable(f'there is no {", no ".join(missing)}')
    for name in names:
        if any((folder / f'{name}-{kind}').exists() for kind in ('wal', 'journal')):
            raise NotUsable(f'{name} is being written to: stop Nova, or give a folder of copies')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
