# SPDX-License-Identifier: Apache-2.0
"""How the documentation is built: ``tox -e docs``."""

from pathlib import Path
import sys
import warnings

# Something that is imported for the reference imports eventlet, which nothing here uses.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

sys.path.insert(0, str(Path(__file__).parents[1] / 'ext'))

from nova_cellmap.version import __version__ as release  # noqa: E402

project = 'nova_cellmap'
author = 'The nova-cellmap maintainers'

extensions = [
    'sphinx.ext.autodoc',
    'oslo_config.sphinxext',
    'programs',
]

# Nothing here needs the network.
html_theme = 'furo'
html_title = f'nova_cellmap {release}'
html_copy_source = False
html_show_copyright = False

# A command's '--option' must not become a dash.
smartquotes = False

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
