# SPDX-License-Identifier: Apache-2.0
"""Where an audit was that had no time to come to its end.

In a file under ``[DEFAULT] state_path``, also where the mapping database has tables for such
points: they are of numbers, and one more way is enough for the one run a night.
"""

from nova_cellmap import runtime
from nova_cellmap import uuids
from nova_cellmap.context import RequestContext
from nova_cellmap.db.resume_files import ResumeFiles

_KIND = 'audit'


def is_place(uuid: str | None) -> bool:
    """Whether an audit can begin behind it: what is spelled otherwise than a uuid usually is has
    another place in the order of each database."""
    return uuid is not None and uuids.canonical(uuid) == uuid


class AuditPlace:
    """The uuid up to which an audit has come.

    :param of: what tells the audit from others, which look at other instances or do more
    """

    def __init__(self, context: RequestContext, of: str) -> None:
        self._files = runtime.of(context).part(ResumeFiles)
        self._of = of

    def get(self) -> str:
        """The uuid; empty at the beginning."""
        noted = self._files.get_uuid(_KIND, self._of)
        return noted if noted is not None and is_place(noted) else ''

    def note(self, uuid: str) -> None:
        self._files.note_uuid(_KIND, self._of, uuid)

    def clear(self) -> None:
        """Let the next one begin at the first instance."""
        self._files.clear(_KIND, self._of)
