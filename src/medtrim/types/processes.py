"""Processes that work for another one."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from enum import StrEnum


def end_with_parent(every: float = 1.0) -> None:
    """End this process once the one that started it is gone; looked at every `every` seconds, in a thread.

    A process that is killed cannot end its workers: they would wait for ever, or go on writing to a folder that
    the next start works in as well.
    """
    # A multiprocessing child knows its parent even where that one is gone already.
    started_by = multiprocessing.parent_process()
    parent = started_by.pid if started_by is not None and started_by.pid is not None else os.getppid()
    threading.Thread(target=_follow, args=(parent, every), daemon=True).start()


def _follow(parent: int, every: float) -> None:
    while os.getppid() == parent:
        time.sleep(every)
    os._exit(1)


class Engine(StrEnum):
    """What runs work that can be shared: this machine's processes and threads, or Ray Data."""

    process = "process"
    ray = "ray"
