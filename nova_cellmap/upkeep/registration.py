# SPDX-License-Identifier: Apache-2.0
"""Making, changing and removing cells, with what a database cannot check."""

from collections.abc import Iterator
import contextlib
import logging
from typing import Any

from oslo_config import cfg
from oslo_utils import uuidutils

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.cells import database
from nova_cellmap.cells import target
from nova_cellmap.cells.instances import Instances
from nova_cellmap.conf import base as base_conf
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.cell_mapping import CellMappingList
from nova_cellmap.objects.instance_mapping_list import InstanceMappingList
from nova_cellmap.upkeep import empty_cells

LOG = logging.getLogger(__name__)

CELL0_NAME = 'cell0'

# How many mappings delete_cell removes at a time.
_BATCH = 1000


def get_cell(context: RequestContext, uuid_or_name: str) -> CellMapping:
    """The cell of that uuid or of that name; what is spelled as a uuid is first taken for one.

    Nothing keeps Nova's tables from having a cell whose uuid is no uuid.

    :raises: CellMappingNotFound
    """
    ways = CellMapping.get_by_name, CellMapping.get_by_uuid
    first, second = reversed(ways) if uuidutils.is_uuid_like(uuid_or_name) else ways
    with contextlib.suppress(exception.CellMappingNotFound):
        return first(context, uuid_or_name)
    return second(context, uuid_or_name)


def create_cell(
    context: RequestContext,
    conf: cfg.ConfigOpts,
    *,
    name: str | None = None,
    database_connection: str | None = None,
    transport_url: str | None = None,
    disabled: bool = False,
) -> CellMapping:
    """Add a cell; a URL that is not given is the one in the options.

    :raises: InvalidURL; CellMappingExists where its name or one of its URLs is taken
    """
    cell = new_cell(
        context,
        conf,
        name=name,
        database_connection=database_connection,
        transport_url=transport_url,
        disabled=disabled,
    )
    cell.create()
    return cell


def new_cell(
    context: RequestContext,
    conf: cfg.ConfigOpts,
    *,
    name: str | None,
    database_connection: str | None = None,
    transport_url: str | None = None,
    disabled: bool = False,
) -> CellMapping:
    """A cell that can be added, and is not yet; as :func:`create_cell`."""
    database_connection = database_connection or conf.database.connection
    transport_url = transport_url or base_conf.transport_url(conf)
    if not database_connection:
        raise exception.InvalidURL(
            reason='Give --database_connection: [database] connection is not set.'
        )
    if not transport_url:
        raise exception.InvalidURL(
            reason='Give --transport-url: [DEFAULT] transport_url is not set.'
        )
    urls = {'database_connection': database_connection, 'transport_url': transport_url}
    _check_urls(context, conf, urls)
    with _values_checked():
        return CellMapping(context, name=name, disabled=disabled, **urls)


def update_cell(
    context: RequestContext, conf: cfg.ConfigOpts, cell: CellMapping, **changes: Any
) -> CellMapping:
    """Change what *changes* names (name, database_connection, transport_url, disabled).

    :raises: InvalidURL; CellMappingExists where the name or a URL is another cell's;
        Cell0CannotBeDisabled
    """
    change_cell(context, conf, cell, changes)
    cell.save()
    return cell


def change_cell(
    context: RequestContext, conf: cfg.ConfigOpts, cell: CellMapping, changes: dict[str, Any]
) -> None:
    """Set fields of a cell that can be saved, and is not yet; as :func:`update_cell`."""
    if changes.get('disabled') and cell.is_cell0():
        raise exception.Cell0CannotBeDisabled()
    urls = {field: text for field, text in changes.items() if field in _URLS}
    _check_urls(context, conf, urls, besides=cell)
    with _values_checked():
        for field, value in differences(context, cell, changes).items():
            setattr(cell, field, value)


def differences(
    context: RequestContext, cell: CellMapping, values: dict[str, Any]
) -> dict[str, Any]:
    """Those of *values*, by field, that differ from what is stored of the cell.

    :raises: CellMappingNotFound
    """
    # The object's own URLs are filled.
    stored = db_api.cell_mapping_get_by_uuid(context, cell.uuid)
    return {field: value for field, value in values.items() if stored[field] != value}


def map_cell0(
    context: RequestContext, conf: cfg.ConfigOpts, database_connection: str | None = None
) -> tuple[CellMapping, bool]:
    """Add cell0, where the instances are that could not be scheduled.

    :param database_connection: by default ``[database] connection`` with ``_cell0`` after
        the database's name
    :returns: the cell, and whether it is new
    :raises: InvalidURL; CellMappingExists where its name or database is another cell's
    """
    with contextlib.suppress(exception.CellMappingNotFound):
        return CellMapping.get_by_uuid(context, CellMapping.CELL0_UUID), False
    cell = new_cell0(context, conf, database_connection)
    cell.create()
    return cell, True


def new_cell0(
    context: RequestContext,
    conf: cfg.ConfigOpts,
    database_connection: str | None = None,
    transport_url: str | None = None,
) -> CellMapping:
    """cell0 as it can be added, and is not yet; as :func:`map_cell0`."""
    urls = {
        'transport_url': transport_url or 'none:///',
        'database_connection': database_connection or _default_cell0_connection(conf),
    }
    _check_urls(context, conf, urls)
    return CellMapping(context, uuid=CellMapping.CELL0_UUID, name=CELL0_NAME, **urls)


def delete_cell(
    context: RequestContext, cell: CellMapping, *, force: bool = False, unasked: bool = False
) -> int:
    """Remove a cell that has no live instances.

    :param force: also remove the mappings of its deleted instances
    :param unasked: the same, and also where its database is gone or cannot be read, so that
        nobody can say whether they are of live instances; not where it has any
    :returns: how many mappings were removed with it
    :raises: CellHasHosts where Nova has mapped hosts to it; CellHasInstances; CellHasMappings
        where *force* is not given; CellCannotBeAsked where mappings are left and nobody can say
        whether they are of live instances
    """
    if db_api.cell_mapping_has_hosts(context, cell.uuid):
        raise exception.CellHasHosts(uuid=cell.uuid)
    mapped = len(InstanceMappingList.get_by_cell_uuid(context, cell.uuid, limit=1)) > 0
    try:
        _check_no_live_instances(context, cell)
    except exception.CellHasInstances:
        raise
    except exception.CellError as error:
        if mapped and not unasked:
            raise exception.CellCannotBeAsked(
                cell=cell.identity, reason=str(error).rstrip('.')
            ) from error
        LOG.warning('%s. It is removed all the same.', str(error).rstrip('.'))
    if mapped and not force and not unasked:
        raise exception.CellHasMappings(cell=cell.identity)
    removed = sum(_remove_mappings(context, cell))
    cell.destroy()
    target.forget([cell.uuid])
    return removed


@contextlib.contextmanager
def _values_checked() -> Iterator[None]:
    """Let what a field refuses be invalid input."""
    try:
        yield
    except ValueError as error:
        raise exception.InvalidInput(reason=str(error)) from error


_URLS = ('database_connection', 'transport_url')


def _check_urls(
    context: RequestContext,
    conf: cfg.ConfigOpts,
    urls: dict[str, str],
    besides: CellMapping | None = None,
) -> None:
    """:raises: InvalidURL, CellMappingExists"""
    filled = {field: _filled(conf, field, text) for field, text in urls.items()}
    for other in CellMappingList.get_all(context) if filled else ():
        if besides is not None and other.uuid == besides.uuid:
            continue
        for field, text in filled.items():
            # 'none' is not a place that two cells could share.
            if not url.is_none(text) and getattr(other, field) == text:
                raise exception.CellMappingExists(what=field, value=url.mask(text))


def _filled(conf: cfg.ConfigOpts, field: str, text: str) -> str:
    is_database = field == 'database_connection'
    base_url = conf.database.connection if is_database else base_conf.transport_url(conf)
    try:
        filled = url.fill(text, base_url)
        if is_database:
            url.check_database(filled)
        else:
            url.check_transport(filled)
    except (url.InvalidURL, url.TemplateError) as error:
        raise exception.InvalidURL(reason=str(error)) from None
    return filled


def _default_cell0_connection(conf: cfg.ConfigOpts) -> str:
    if not conf.database.connection:
        raise exception.InvalidURL(
            reason='Give --database_connection: [database] connection is not set.'
        )
    try:
        base_url = url.parse_database(conf.database.connection)
    except url.InvalidURL as error:
        raise exception.InvalidURL(reason=f'[database] connection: {error}') from None
    cell0 = base_url.set(database=f'{base_url.database}_cell0')
    return cell0.render_as_string(hide_password=False)


def _check_no_live_instances(context: RequestContext, cell: CellMapping) -> None:
    """:raises: CellHasInstances; another CellError where its database cannot tell"""
    with database.connect(cell) as reader:
        instances = Instances(reader, cell)
        if instances.has_live():
            raise exception.CellHasInstances(cell=cell.identity)
        if instances.is_empty() and empty_cells.has_more_mappings(context, cell, than=0):
            raise exception.NotACellDatabase(
                cell=cell.identity,
                reason='it has no instances at all, not even deleted ones, while mappings to it '
                'are not queued for delete: it may be a new one, or another one',
            )


def _remove_mappings(context: RequestContext, cell: CellMapping) -> Iterator[int]:
    while page := InstanceMappingList.get_by_cell_uuid(context, cell.uuid, limit=_BATCH).objects:
        uuids = [mapping.instance_uuid for mapping in page]
        yield InstanceMappingList.destroy_bulk(context, uuids)
