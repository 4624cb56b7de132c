# SPDX-License-Identifier: Apache-2.0
"""What clients may see of cells, and what they may do with them.

The queue is read and written by more services than need to know where cells are. A cell travels
without the fields that are kept back: they are not set, and reading one says which option it is.
"""

from typing import Any

from nova_cellmap import exception
from nova_cellmap.conf import conductor as options
from nova_cellmap.objects import base
from nova_cellmap.objects import cell_mapping
from nova_cellmap.objects import storage
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.cell_mapping import CellMappingList
from nova_cellmap.objects.instance_mapping import InstanceMapping
from nova_cellmap.objects.instance_mapping_list import InstanceMappingList

_URLS = frozenset({'transport_url', 'database_connection'})
_KEPT_BACK = {
    options.FULL: frozenset[str](),
    options.WITHOUT_URLS: _URLS,
    options.NONE: frozenset(CellMapping.fields) - {'uuid'},
}

_WRITES = frozenset({'create', 'save', 'destroy'})


class Policy:
    """What clients may do.

    :param visible: ``[conductor] cells``
    :param writable: ``[conductor] cells_writable``
    """

    def __init__(self, visible: str, *, writable: bool) -> None:
        self._visible = visible
        self._kept_back = _KEPT_BACK[visible]
        self._writable = writable

    def check(self, cls: type[base.CellMapObject], method: str) -> None:
        """:raises: RemoteCallRefused where clients may not call that"""
        if not issubclass(cls, CellMapping | CellMappingList):
            return
        if method in _WRITES:
            if not self._writable:
                self._refuse(cls, method, 'clients do not change cells', 'cells_writable')
        elif self._visible == options.NONE:
            self._refuse(cls, method, 'clients do not read cells', 'cells')

    def check_written(self, obj: base.CellMapObject) -> None:
        """Check that the URLs that a client stores lead nowhere but to servers.

        A template is filled with the conductor's passwords, and what a driver is asked to read
        is on the machines of others.

        :raises: InvalidURL
        """
        if isinstance(obj, CellMapping):
            changed = {name: getattr(obj, name) for name in obj.obj_what_changed() & _URLS}
            cell_mapping.check_urls(changed, obj.runtime, from_client=True)

    def hide(self, answer: Any) -> None:
        """Unset what is kept back, of each cell that is in an answer."""
        if not self._kept_back:
            return
        for cell in _cells_of(answer):
            for name in self._kept_back:
                storage.unset(cell, name)

    def _refuse(self, cls: type[base.CellMapObject], method: str, why: str, option: str) -> None:
        raise exception.RemoteCallRefused(
            what=f'{cls.obj_name()}.{method}', reason=f'{why} here, says [conductor] {option}'
        )


def _cells_of(answer: Any) -> list[Any]:
    """The cells in an answer, each once."""
    if isinstance(answer, CellMapping):
        return [answer]
    if isinstance(answer, CellMappingList):
        return list(answer.objects)
    mappings = answer.objects if isinstance(answer, InstanceMappingList) else [answer]
    if mappings and not isinstance(mappings[0], InstanceMapping):
        return []
    held = (storage.value(mapping, 'cell_mapping') for mapping in mappings)
    return list({id(cell): cell for cell in held if cell is not None}.values())
