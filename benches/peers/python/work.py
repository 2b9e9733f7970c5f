"""The work that all libraries are given, and its right answers: the same as in src/work.rs.

Every child that is not forked imports this, so what only some work needs is imported where it is done: numpy alone
takes longer than a process."""

import functools
import os
import sys
import time

WORKERS = 2
CHUNK = 64
MIB = 1 << 20
ALL_BITS = 524_288
CRASH_TASKS = 20
KILLER = 5
CRASH_PACE = 0.005
TABLE_BYTES = 512 * MIB


# Who has run this file: a child, or the fork server before it.
loaded_by = os.getpid()


def work(number):
    return number * 3 + 1


def all_work(count):
    return 3 * (count * (count - 1) // 2) + count


def ends(data):
    last = len(data) - 1
    return len(data) + (data[0] << 40) + (data[last // 2] << 48) + (data[last] << 56)


def content(length):
    return bytes(index % 251 + 1 for index in range(251)) * (length // 251 + 1)


def bit_table():
    return bytes(number.bit_count() for number in range(1 << 16))


# What a worker has, set by `keep` or inherited.
kept = None


def keep(thing):
    global kept
    kept = thing


def look_up(number):
    return kept[number]


def look_up_in(table, number):
    return table[number]


own_table = functools.cache(bit_table)


def look_up_own(number):
    """Where workers cannot be given anything: each makes the table when it needs it first."""
    return own_table()[number]


def big_table():
    import numpy

    return numpy.full(TABLE_BYTES, 3, dtype=numpy.uint8)


def last_kept(_):
    return int(kept[-1])


def last_of(table, _=None):
    return int(table[-1])


def attach(name):
    """A worker's initialiser: the table that is in shared memory under this name."""
    from multiprocessing import shared_memory

    import numpy

    global memory
    memory = shared_memory.SharedMemory(name)
    keep(numpy.ndarray((TABLE_BYTES,), dtype=numpy.uint8, buffer=memory.buf))


def crash_task(index):
    if index == KILLER:
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(CRASH_PACE)
    return work(index)


def send_work(connection, number):
    """The whole life of a process that is started for one number."""
    connection.send(work(number))
    connection.close()


def send_loaded(connection, modules):
    """For a child of the fork server: which of the modules were loaded before it was forked."""
    there = loaded_by == os.getppid()
    connection.send([name for name in modules if there and name in sys.modules])
    connection.close()
