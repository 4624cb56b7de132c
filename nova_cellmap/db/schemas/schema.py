# SPDX-License-Identifier: Apache-2.0
"""What the function layer has to know of the tables that it works on."""

from collections.abc import Iterable
import dataclasses
import functools
from typing import Any

import sqlalchemy as sa

# Where a cell is referred to by its id: no cell has this one. What refers to it is refused, and
# nothing equals it.
NO_CELL = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Schema:
    """The tables of one database.

    Whatever a database calls its tables and columns, a column has the same ``key`` in each
    schema, and rows are keyed by it.

    :ivar map_progress: resume points of ``map_instances``; None where there is no table for them
    :ivar import_progress: the same of ``import_nova``
    :ivar host_mapping: hosts, which refer to their cells by ``cell_id``; None where there are none
    :ivar build_request: instances that Nova is building, by ``instance_uuid``; None likewise
    :ivar inserted_mapping: ``instance_mapping`` with the ``cell_key`` of a cell in place of its
        uuid; None where they are the same
    :ivar marker_projects: ``project_id`` of rows of ``instance_mapping`` that map no instance
    :ivar marker_instances: ``instance_uuid`` of others
    :ivar are_cells_checked: whether the database lets no mapping refer to a cell that is not there
    :ivar lacks: the keys of columns that the database has not: they read as NULL
    :ivar statements: what was made for these tables; it goes when the schema goes
    """

    name: str
    cell_mapping: sa.Table
    instance_mapping: sa.Table
    map_progress: sa.Table | None = None
    import_progress: sa.Table | None = None
    host_mapping: sa.TableClause | None = None
    build_request: sa.TableClause | None = None
    inserted_mapping: sa.Table | None = None
    marker_projects: tuple[str, ...] = ()
    marker_instances: tuple[str, ...] = ()
    are_cells_checked: bool = True
    lacks: frozenset[str] = frozenset()
    statements: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    @functools.cached_property
    def cell_key(self) -> sa.Column[Any]:
        """The column of a cell that the ``cell_uuid`` of a mapping refers to in the database."""
        [reference] = self.instance_mapping.c.cell_uuid.foreign_keys
        return reference.column

    @functools.cached_property
    def with_cells(self) -> sa.Join:
        """The mappings, each with its cell if it has one."""
        is_its = self.instance_mapping.c.cell_uuid == self.cell_key
        return self.instance_mapping.outerjoin(self.cell_mapping, is_its)

    @functools.cached_property
    def mappings(self) -> sa.FromClause:
        """Where the columns of :meth:`mapping_columns` are: with the cells, if it takes them."""
        is_stored = self.cell_key is self.cell_mapping.c.uuid
        return self.instance_mapping if is_stored else self.with_cells

    @functools.cached_property
    def is_mapping(self) -> tuple[sa.ColumnElement[bool], ...]:
        """What tells the rows of ``instance_mapping`` that map an instance from others."""
        project = self.instance_mapping.c.project_id
        return (*_none_of(project, self.marker_projects), *self._is_of_instance)

    def is_mapping_of(self, project_id: str) -> tuple[sa.ColumnElement[bool], ...]:
        """The same among a project's rows: the other conditions cost a count a tenth."""
        return (sa.false(),) if project_id in self.marker_projects else self._is_of_instance

    @functools.cached_property
    def _is_of_instance(self) -> tuple[sa.ColumnElement[bool], ...]:
        return _none_of(self.instance_mapping.c.instance_uuid, self.marker_instances)

    @property
    def stored_mapping(self) -> sa.Table:
        return (
            self.inserted_mapping if self.inserted_mapping is not None else self.instance_mapping
        )

    @property
    def have_cells_unique_names(self) -> bool:
        """Whether the database sees to it."""
        return any(index.unique and 'name' in index.columns for index in self.cell_mapping.indexes)

    @property
    def is_disabled(self) -> sa.ColumnElement[bool]:
        """Whether a cell is: NULL is no."""
        [disabled] = self.cell_columns(('disabled',))
        # Somebody may have written 2, which is not ``true`` in SQL.
        return sa.func.coalesce(disabled, sa.false()) != sa.false()

    def mapping_column(self, name: str) -> sa.ColumnElement[Any]:
        [column] = self.mapping_columns((name,))
        return column

    def mapping_columns(self, names: Iterable[str]) -> list[sa.ColumnElement[Any]]:
        """The columns of a mapping with these keys; NULL in place of one that is not there."""
        found = _columns(self.instance_mapping, names)
        if self.mappings is self.instance_mapping:
            return found
        uuid = self.cell_mapping.c.uuid.label('cell_uuid')
        return [uuid if each.key == 'cell_uuid' else each for each in found]

    def cell_columns(self, names: Iterable[str]) -> list[sa.ColumnElement[Any]]:
        """The columns of a cell, likewise."""
        return _columns(self.cell_mapping, names)


def _columns(table: sa.Table, names: Iterable[str]) -> list[sa.ColumnElement[Any]]:
    return [table.c[name] if name in table.c else sa.null().label(name) for name in names]


def _none_of(column: sa.Column[str], values: Iterable[str]) -> tuple[sa.ColumnElement[bool], ...]:
    # In the text of the statement: it is the same each time.
    return tuple(column != sa.literal_column(f"'{value}'", sa.String) for value in values)
