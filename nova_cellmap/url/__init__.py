# SPDX-License-Identifier: Apache-2.0
"""The URLs of cells: hide their secrets, fill templates of them, check them.

A cell has two URLs: that of its database (SQLAlchemy's syntax) and that of its message queue
(oslo.messaging's, which may list several hosts). Either may be a template, whose fields are
filled from the URL in the options:

* ``{scheme}``, ``{path}``, ``{query}``, ``{fragment}``;
* ``{username}``, ``{password}``, ``{hostname}``, ``{port}`` of the (first) host;
* the same four with a number from 1, as ``{username2}``, of that host in the list.

Any other brace is left as it is.
"""

from nova_cellmap.url.cell import check_cell_database
from nova_cellmap.url.cell import check_cell_transport
from nova_cellmap.url.check import InvalidURL
from nova_cellmap.url.check import check_database
from nova_cellmap.url.check import check_transport
from nova_cellmap.url.check import parse_database
from nova_cellmap.url.masking import HIDDEN
from nova_cellmap.url.masking import mask
from nova_cellmap.url.syntax import MAX_LENGTH
from nova_cellmap.url.syntax import is_none
from nova_cellmap.url.syntax import is_template
from nova_cellmap.url.template import TemplateError
from nova_cellmap.url.template import fill

__all__ = [
    'HIDDEN',
    'MAX_LENGTH',
    'InvalidURL',
    'TemplateError',
    'check_cell_database',
    'check_cell_transport',
    'check_database',
    'check_transport',
    'fill',
    'is_none',
    'is_template',
    'mask',
    'parse_database',
]
