# SPDX-License-Identifier: Apache-2.0
"""Make cell databases of Nova's shape in the working folder, to try the commands on.

    python make_cells.py cell0=100 cell1=6000 cell2=4000

makes cell0.sqlite with 100 instances, and so on. Ten projects have instances in all of them; some
instances are deleted, some soft-deleted and, but for cell0, some hidden. Those of cell0 never came
to a host. The same arguments make the same databases.
"""

from pathlib import Path
import random
import sys

import sqlalchemy as sa

from nova_cellmap import nova_cell

PROJECTS = 10


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 64
    for seed, argument in enumerate(arguments, start=1):
        name, _, count = argument.partition('=')
        if not (name and count.isascii() and count.isdigit()):
            print(f'make_cells.py: NAME=COUNT is expected, not {argument!r}', file=sys.stderr)
            return 64
        path = Path(f'{name}.sqlite')
        if path.exists():
            print(f'make_cells.py: {path} is there already', file=sys.stderr)
            return 73
        make(path, int(count), seed, is_cell0=name == 'cell0')
    return 0


def make(path: Path, count: int, seed: int, is_cell0: bool) -> None:
    engine = sa.create_engine(f'sqlite:///{path}')
    nova_cell.create(engine)
    nova_cell.fill(engine, count, seed=seed, hidden=0.0 if is_cell0 else 0.01)
    share_projects(engine)
    if is_cell0:
        unschedule(engine)
    print(f'{path}: {summary(engine)}')
    engine.dispose()


def share_projects(engine: sa.Engine) -> None:
    """Give the instances to projects that are the same in every cell."""
    dice = random.Random('projects')
    table = nova_cell.instances
    with engine.begin() as connection:
        for number in range(PROJECTS):
            owner = {name: f'{dice.getrandbits(128):032x}' for name in ('project_id', 'user_id')}
            rows = table.c.id % PROJECTS == number
            connection.execute(table.update().where(rows).values(**owner))


def unschedule(engine: sa.Engine) -> None:
    """As Nova leaves the instances that it found no host for."""
    with engine.begin() as connection:
        connection.execute(nova_cell.instances.update().values(vm_state='error', host=None))


def summary(engine: sa.Engine) -> str:
    columns = nova_cell.instances.c
    is_deleted = columns.deleted != 0
    with engine.connect() as connection:
        total, deleted, soft_deleted, hidden = (
            connection.scalar(sa.select(sa.func.count()).where(condition))
            for condition in (
                columns.id > 0,
                is_deleted,
                ~is_deleted & (columns.vm_state == 'soft-delete'),
                columns.hidden,
            )
        )
    return (
        f'{total} instances, {deleted} of them deleted, {soft_deleted} soft-deleted, '
        f'{hidden} hidden'
    )


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
