# SPDX-License-Identifier: Apache-2.0
"""What crosses the boundary between the mapping and the cells."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nova_cellmap.cells.scatter import is_cell_failure_sentinel
    from nova_cellmap.cells.scatter import scatter_gather_all_cells
    from nova_cellmap.cells.scatter import scatter_gather_cells
    from nova_cellmap.cells.scatter import scatter_gather_single_cell
    from nova_cellmap.cells.scatter import scatter_gather_skip_cell0
    from nova_cellmap.cells.target import target_cell

__all__ = [
    'is_cell_failure_sentinel',
    'scatter_gather_all_cells',
    'scatter_gather_cells',
    'scatter_gather_single_cell',
    'scatter_gather_skip_cell0',
    'target_cell',
]


def __getattr__(name: str) -> Any:
    # Imported when they are first used: the commands that need none do not wait for them.
    if name in __all__:
        module = 'target' if name == 'target_cell' else 'scatter'
        return getattr(importlib.import_module(f'{__name__}.{module}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
