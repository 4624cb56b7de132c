# SPDX-License-Identifier: Apache-2.0
"""A process that is told what to measure, round after round.

It needs nothing but Python: it runs in Nova's environment as well.
"""

from collections.abc import Callable
import gc
import json
import os
import sys
import time
from typing import Any


def serve(side: object) -> None:
    """Answer tasks on standard input, a line of JSON each, until it ends.

    A task names a *path*, a method of *side*, and has the arguments of its *calls*. Where
    *side* has a method ``prepare_`` and that name, it makes of them what the path is called
    with, and its time does not count. The answer has the seconds of the clock and the CPU.
    A path that answers something else than None has it in the answer, of its last call.
    """
    # What libraries print must not come between.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        task = json.loads(line)
        path: Callable[..., Any] = getattr(side, task['path'])
        prepare = getattr(side, f'prepare_{task["path"]}', _as_they_are)
        calls = [prepare(*arguments) for arguments in task['calls']]
        answers.write(json.dumps(_measure(path, calls), default=str) + '\n')
        answers.flush()


def _measure(path: Callable[..., Any], calls: list[Any]) -> dict[str, Any]:
    answer = None
    gc.collect()
    start, cpu_start = time.perf_counter(), time.process_time()
    for arguments in calls:
        answer = path(*arguments)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {'seconds': seconds, 'cpu_seconds': cpu_seconds, 'answer': answer}


def _as_they_are(*arguments: Any) -> tuple[Any, ...]:
    return arguments
