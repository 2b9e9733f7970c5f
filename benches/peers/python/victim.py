"""A program whose workers are killed, or that is killed itself, by faults.py: as src/victim.rs.

`victim.py <killed-workers | killed-itself> <library> <tasks>`"""

import concurrent.futures
import multiprocessing
import os
import pathlib
import sys
import time

import work
from libraries import LIBRARIES

PACE = 0.002
PATIENCE = 10.0
NOTES = "PEERS_NOTES"

noted = None


def note():
    """The first task of each process says which one it is."""
    global noted
    own = os.getpid()
    # A forked worker has its parent's number here.
    if noted != own:
        noted = own
        pathlib.Path(os.environ[NOTES], str(own)).touch()


def task(number):
    note()
    time.sleep(PACE)
    return work.work(number)


def endless(number):
    note()
    while True:
        if number % 2 == 0:
            time.sleep(3600)


TIMEOUTS = (TimeoutError, multiprocessing.TimeoutError, concurrent.futures.TimeoutError)


def outcomes(workers, count):
    """A letter for each task: answer, wrong answer, error, nothing."""
    try:
        tasks = [workers.submit(task, number) for number in range(count)]
    except Exception as error:
        # The pool broke while it was given tasks.
        print(f"note: {type(error).__name__}", flush=True)
        for _ in range(count):
            yield "e"
        return
    pending = list(enumerate(tasks))
    while pending:
        left = []
        patience = PATIENCE
        for number, waiting in pending:
            try:
                answer = workers.outcome(waiting, patience)
                yield "a" if answer == work.work(number) else "w"
            except TIMEOUTS:
                left.append((number, waiting))
                # The next has had that time already.
                patience = 0
            except Exception:
                yield "e"
        if len(left) == len(pending):
            break
        pending = left
    for _ in pending:
        yield "n"


def main():
    fault, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    workers = LIBRARIES[name]()
    if fault == "killed-itself":
        for waiting in [workers.submit(endless, number) for number in range(2)]:
            workers.outcome(waiting, 3600)
        return
    for letter in outcomes(workers, count):
        print(letter, flush=True)
    print("end", flush=True)
    workers.stop()


if __name__ == "__main__":
    main()
