# SPDX-License-Identifier: Apache-2.0
"""Cells as a deployment tool declares them: made or changed only where they are not so yet."""

import contextlib
import dataclasses
from typing import Any, NamedTuple

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import registration

_URLS = ('database_connection', 'transport_url')


class Difference(NamedTuple):
    """How a field of a cell is, and how it is declared; of a URL with its secrets masked."""

    before: Any
    after: Any


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a declaration, or would have.

    :ivar uuid: the cell's; None where it would have been made
    :ivar diff: the fields that are, or would be, changed
    """

    uuid: str | None
    diff: dict[str, Difference]

    def as_dict(self) -> dict[str, Any]:
        """The same for a tool to read."""
        diff = {field: difference._asdict() for field, difference in self.diff.items()}
        return {'uuid': self.uuid, 'changed': bool(diff), 'diff': diff}


def ensure_cell(
    context: RequestContext,
    conf: cfg.ConfigOpts,
    name: str,
    *,
    database_connection: str | None = None,
    transport_url: str | None = None,
    disabled: bool | None = None,
    check: bool = False,
) -> Outcome:
    """Have a cell of a name, with what is declared of it.

    What is None is not declared: it stays as it is, and a new cell has it as
    :func:`registration.create_cell` gives it. ``cell0`` is the one where the instances are that
    could not be scheduled, and a new one is as :func:`registration.map_cell0` makes it.

    :param check: write nothing, and answer the same
    :raises: InvalidURL; CellMappingExists where a URL is another cell's; CellNameNotUnique;
        Cell0CannotBeDisabled
    """
    values = {
        'name': name,
        'database_connection': database_connection,
        'transport_url': transport_url,
        'disabled': disabled,
    }
    declared = {field: value for field, value in values.items() if value is not None}
    row = _row(context, name)
    if row is None:
        with contextlib.suppress(exception.CellMappingExists):
            return _create(context, conf, declared, check)
        # Somebody else may have made it since we looked. If it was not this one, it is said again.
        row = _row(context, name)
    if row is None:
        return _create(context, conf, declared, check)
    return _update(context, conf, row, declared, check)


def _row(context: RequestContext, name: str) -> db_api.Row | None:
    with contextlib.suppress(exception.CellMappingNotFound):
        if name == registration.CELL0_NAME:
            return db_api.cell_mapping_get_by_uuid(context, CellMapping.CELL0_UUID)
        return db_api.cell_mapping_get_by_name(context, name)
    return None


def _create(
    context: RequestContext, conf: cfg.ConfigOpts, declared: dict[str, Any], check: bool
) -> Outcome:
    if declared['name'] == registration.CELL0_NAME:
        cell = _new_cell0(context, conf, **declared)
    else:
        cell = registration.new_cell(context, conf, **declared)
    # As it is stored: an object that was created has its URLs filled.
    values = cell.changes('create')
    if not check:
        cell.create()
    fields = ('name', *_URLS, 'disabled')
    values = {'disabled': False, **values}
    diff = {field: _difference(field, None, values[field]) for field in fields}
    return Outcome(None if check else cell.uuid, diff)


def _new_cell0(
    context: RequestContext,
    conf: cfg.ConfigOpts,
    name: str,
    disabled: bool = False,
    **urls: str,
) -> CellMapping:
    if disabled:
        raise exception.Cell0CannotBeDisabled()
    _check_name(context, name)
    return registration.new_cell0(context, conf, **urls)


def _update(
    context: RequestContext,
    conf: cfg.ConfigOpts,
    row: db_api.Row,
    declared: dict[str, Any],
    check: bool,
) -> Outcome:
    changes = {field: value for field, value in declared.items() if row[field] != value}
    if changes:
        if 'name' in changes:
            _check_name(context, changes['name'])
        cell = CellMapping.from_row(context, row)
        registration.change_cell(context, conf, cell, changes)
        cell.changes('save')
        if not check:
            cell.save()
    diff = {field: _difference(field, row[field], value) for field, value in changes.items()}
    return Outcome(row['uuid'], diff)


def _check_name(context: RequestContext, name: str) -> None:
    """:raises: CellMappingExists where a cell has it"""
    with contextlib.suppress(exception.CellMappingNotFound):
        db_api.cell_mapping_get_by_name(context, name)
        raise exception.CellMappingExists(what='name', value=name)


def _difference(field: str, before: Any, after: Any) -> Difference:
    if field not in _URLS:
        return Difference(before, after)
    masked = url.mask(after)
    if before is None:
        return Difference(None, masked)
    before = url.mask(before)
    return Difference(before, masked if masked != before else f'{masked} (with another secret)')
