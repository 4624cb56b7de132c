# SPDX-License-Identifier: Apache-2.0
"""What the function layer has to know of the tables that it works on."""

import dataclasses
import functools
from typing import Any

import sqlalchemy as sa


@dataclasses.dataclass(frozen=True, eq=False)
class Schema:
    """The tables of one database.

    Whatever a database calls its tables and columns, a column has the same ``key`` in each
    schema, and rows are keyed by it.

    :ivar map_progress: resume points of ``map_instances``; None where there is no table for them
    :ivar import_progress: the same of ``import_nova``
    :ivar statements: what was made for these tables; it goes when the schema goes
    """

    name: str
    cell_mapping: sa.Table
    instance_mapping: sa.Table
    map_progress: sa.Table | None = None
    import_progress: sa.Table | None = None
    statements: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    @functools.cached_property
    def cell_key(self) -> sa.Column[Any]:
        """The column of a cell that the ``cell_uuid`` of a mapping refers to in the database."""
        [reference] = self.instance_mapping.c.cell_uuid.foreign_keys
        return reference.column
