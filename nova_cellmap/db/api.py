# SPDX-License-Identifier: Apache-2.0
"""The function layer: only what is named here queries the mapping database.

Each takes the request context, then plain values, and answers plain values. Rows are dicts by
column; of mappings with one key more, ``cell_mapping``: the cell's row (a list shares it) or None.

Lists are in the order of creation (``id``), and come in pages: *limit* is the most rows (None:
all), *marker* the uuid of the last row of the previous page. Times are naive UTC with no fraction
of a second. uuids are 36 characters, lower case, hyphenated.

Any may raise a :exc:`~nova_cellmap.exception.DatabaseError`, or InvalidInput (what the database
cannot hold). Deadlocks and lost connections are tried again, in writes up to the commit; never in
a :func:`reader` or :func:`writer` block: all of it failed.
"""

from nova_cellmap.db.batch import BulkResult as BulkResult
from nova_cellmap.db.batch import Turn as Turn
from nova_cellmap.db.batch import concurrent_writers as concurrent_writers
from nova_cellmap.db.bulk import instance_mapping_create_bulk as instance_mapping_create_bulk
from nova_cellmap.db.bulk import instance_mapping_destroy_bulk as instance_mapping_destroy_bulk
from nova_cellmap.db.bulk import instance_mapping_destroy_seen as instance_mapping_destroy_seen
from nova_cellmap.db.bulk import instance_mapping_import_batch as instance_mapping_import_batch
from nova_cellmap.db.bulk import instance_mapping_map_batch as instance_mapping_map_batch
from nova_cellmap.db.bulk import instance_mapping_move_bulk as instance_mapping_move_bulk
from nova_cellmap.db.bulk import instance_mapping_update_bulk as instance_mapping_update_bulk
from nova_cellmap.db.cell_mapping import CellBulkResult as CellBulkResult
from nova_cellmap.db.cell_mapping import cell_mapping_create as cell_mapping_create
from nova_cellmap.db.cell_mapping import cell_mapping_create_bulk as cell_mapping_create_bulk
from nova_cellmap.db.cell_mapping import cell_mapping_destroy as cell_mapping_destroy
from nova_cellmap.db.cell_mapping import cell_mapping_get_all as cell_mapping_get_all
from nova_cellmap.db.cell_mapping import cell_mapping_get_by_name as cell_mapping_get_by_name
from nova_cellmap.db.cell_mapping import (
    cell_mapping_get_by_project_id as cell_mapping_get_by_project_id,
)
from nova_cellmap.db.cell_mapping import cell_mapping_get_by_uuid as cell_mapping_get_by_uuid
from nova_cellmap.db.cell_mapping import cell_mapping_has_hosts as cell_mapping_has_hosts
from nova_cellmap.db.cell_mapping import cell_mapping_update as cell_mapping_update
from nova_cellmap.db.columns import ANYTHING as ANYTHING
from nova_cellmap.db.columns import MAPPING_COLUMNS as MAPPING_COLUMNS
from nova_cellmap.db.columns import Expected as Expected
from nova_cellmap.db.columns import Row as Row
from nova_cellmap.db.columns import columns_of as columns_of
from nova_cellmap.db.counts import (
    instance_mapping_count_by_cell_and_project as instance_mapping_count_by_cell_and_project,
)
from nova_cellmap.db.counts import (
    instance_mapping_get_count_by_uuids_and_user as instance_mapping_get_count_by_uuids_and_user,
)
from nova_cellmap.db.counts import instance_mapping_get_counts as instance_mapping_get_counts
from nova_cellmap.db.facts import Fact as Fact
from nova_cellmap.db.facts import cell_of_fact as cell_of_fact
from nova_cellmap.db.facts import fact as fact
from nova_cellmap.db.facts import instance_mapping_get_as_stored as instance_mapping_get_as_stored
from nova_cellmap.db.facts import instance_mapping_scan as instance_mapping_scan
from nova_cellmap.db.instance_mapping import MappingRows as MappingRows
from nova_cellmap.db.instance_mapping import instance_mapping_create as instance_mapping_create
from nova_cellmap.db.instance_mapping import instance_mapping_destroy as instance_mapping_destroy
from nova_cellmap.db.instance_mapping import instance_mapping_get_all as instance_mapping_get_all
from nova_cellmap.db.instance_mapping import (
    instance_mapping_get_by_cell_id as instance_mapping_get_by_cell_id,
)
from nova_cellmap.db.instance_mapping import (
    instance_mapping_get_by_instance_uuid as instance_mapping_get_by_instance_uuid,
)
from nova_cellmap.db.instance_mapping import (
    instance_mapping_get_by_instance_uuids as instance_mapping_get_by_instance_uuids,
)
from nova_cellmap.db.instance_mapping import instance_mapping_update as instance_mapping_update
from nova_cellmap.db.nova_schema import (
    build_request_get_by_instance_uuids as build_request_get_by_instance_uuids,
)
from nova_cellmap.db.nova_schema import nova_schema_get as nova_schema_get
from nova_cellmap.db.nova_traces import nova_traces_get as nova_traces_get
from nova_cellmap.db.progress import import_progress_clear as import_progress_clear
from nova_cellmap.db.progress import import_progress_get as import_progress_get
from nova_cellmap.db.progress import map_progress_clear as map_progress_clear
from nova_cellmap.db.progress import map_progress_get as map_progress_get
from nova_cellmap.db.server_time import utc_time_get as utc_time_get
from nova_cellmap.db.transaction import reader as reader
from nova_cellmap.db.transaction import writer as writer
