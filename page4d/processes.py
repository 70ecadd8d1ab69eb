"""What torchrun, `accelerate launch` and job scripts tell a process: which it is, and of how many."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from page4d.schema import UserError

A_WEEK = timedelta(days=7)
PAUSE_S = 0.2


def process() -> tuple[int, int]:
    """The number of this process, from 0, and how many were started; (0, 1) of one that started alone.

    Raises:  UserError for values that are no such numbers.
    """
    return _number("RANK", 0), _number("WORLD_SIZE", 1)


def local_process() -> int:
    """The number of this process among those of its machine, from 0.

    Raises:  UserError for a value that is no such number.
    """
    return _number("LOCAL_RANK", 0)


def wait_for_others() -> None:
    """Return when every process that was started together has come here; at once for one that started alone.

    Note:    torchrun and `accelerate launch` end all processes as soon as one of them fails, whatever the others are
             at. So one that is to fail waits until they are done. Where no launcher says where to meet, none waits.
    """
    rank, world = process()
    if world == 1 or not os.environ.get("MASTER_ADDR"):
        return
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", rank, world, timeout=A_WEEK))
    names = [f"page4d/done/{number}" for number in range(world)]
    store.set(names[rank], "done")
    # Asked again and again, since a wait inside torch would not hear of Ctrl-C or of the launcher's own ending.
    while not store.check(names):
        time.sleep(PAUSE_S)


def _number(name: str, usual: int) -> int:
    """A whole number of the environment; a variable that is set to nothing counts as not set."""
    text = os.environ.get(name) or str(usual)
    if not text.isdecimal() or int(text) < usual:
        raise UserError(f"{name}={text!r} in the environment; expected a whole number of {usual} or more, or unset it")
    return int(text)
