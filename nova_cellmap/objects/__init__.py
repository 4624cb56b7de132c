# SPDX-License-Identifier: Apache-2.0
"""The versioned objects: ``from nova_cellmap import objects``."""

from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.cell_mapping import CellMappingList
from nova_cellmap.objects.instance_mapping import InstanceMapping
from nova_cellmap.objects.instance_mapping_list import InstanceMappingList

__all__ = ['CellMapping', 'CellMappingList', 'InstanceMapping', 'InstanceMappingList']
