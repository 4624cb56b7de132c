# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-manage."""

import sys

from nova_cellmap.cli import app

COMMANDS = {
    'db sync': 'nova_cellmap.cli.db:Sync',
    'db version': 'nova_cellmap.cli.db:Version',
    'cell_v2 create_cell': 'nova_cellmap.cli.cell:CreateCell',
    'cell_v2 ensure_cell': 'nova_cellmap.cli.declaration:EnsureCell',
    'cell_v2 list_cells': 'nova_cellmap.cli.cell:ListCells',
    'cell_v2 update_cell': 'nova_cellmap.cli.cell:UpdateCell',
    'cell_v2 delete_cell': 'nova_cellmap.cli.cell:DeleteCell',
    'cell_v2 map_cell0': 'nova_cellmap.cli.cell:MapCell0',
    'cell_v2 map_instances': 'nova_cellmap.cli.instance:MapInstances',
    'cell_v2 verify_instance': 'nova_cellmap.cli.instance:VerifyInstance',
    'cell_v2 show_instance': 'nova_cellmap.cli.instance:ShowInstance',
    'cell_v2 explain': 'nova_cellmap.cli.explanation:Explain',
    'cell_v2 list_instances': 'nova_cellmap.cli.instance:ListInstances',
    'cell_v2 resolve_duplicate': 'nova_cellmap.cli.moves:ResolveDuplicate',
    'cell_v2 move_mappings': 'nova_cellmap.cli.moves:MoveMappings',
    'cell_v2 stats': 'nova_cellmap.cli.stats:Stats',
    'cell_v2 import_nova': 'nova_cellmap.cli.nova_import:ImportNova',
    'cell_v2 audit': 'nova_cellmap.cli.audit:Audit',
    'cell_v2 apply': 'nova_cellmap.cli.changes:Apply',
    'cell_v2 revert': 'nova_cellmap.cli.changes:Revert',
    'cell_v2 history': 'nova_cellmap.cli.changes:History',
}


def program() -> app.App:
    return app.App(
        'nova-cellmap-manage', "Keep the mapping of a cloud's instances to their cells.", COMMANDS
    )


def main(argv: list[str] | None = None) -> int:
    return app.main(program(), argv)


if __name__ == '__main__':
    sys.exit(main())
