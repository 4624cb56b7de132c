# SPDX-License-Identifier: Apache-2.0
"""The function layer and the objects behind PgBouncer in transaction mode."""

from typing import Any

from nova_cellmap.tests.functional.db import test_batch
from nova_cellmap.tests.functional.db import test_bulk
from nova_cellmap.tests.functional.db import test_bulk_insert
from nova_cellmap.tests.functional.db import test_cell_mapping
from nova_cellmap.tests.functional.db import test_columns
from nova_cellmap.tests.functional.db import test_counts
from nova_cellmap.tests.functional.db import test_instance_mapping
from nova_cellmap.tests.functional.db import test_progress
from nova_cellmap.tests.functional.db import test_transaction
from nova_cellmap.tests.functional.objects import test_instance_mapping as test_objects
from nova_cellmap.tests.functional.objects import test_races

_SUITES: dict[Any, tuple[str, ...]] = {
    test_cell_mapping: ('Cells',),
    test_instance_mapping: ('Mappings', 'Lists'),
    test_counts: ('Counts',),
    test_batch: ('Batches',),
    test_bulk: ('Bulk',),
    test_bulk_insert: ('Inserts',),
    test_progress: ('ResumePoints',),
    test_columns: ('Values',),
    test_transaction: ('Transactions',),
    test_objects: ('Mapping', 'Moves'),
    test_races: ('Races',),
}

for _module, _names in _SUITES.items():
    for _name in _names:
        _straight: Any = getattr(_module, f'{_name}Postgresql')
        _members = {'server': 'pgbouncer', '__module__': __name__}
        globals()[f'{_name}Pgbouncer'] = type(f'{_name}Pgbouncer', (_straight,), _members)
del _straight
