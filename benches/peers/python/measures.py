"""The measures, with a library of Python, as src/measure.rs; peer.py runs them.

Prints a line of seconds for each repetition, and lines `note: …`."""

import multiprocessing
import os
import pathlib
import sys
import time

import work
from libraries import LIBRARIES

# What takes so many seconds is not repeated in one run of the program.
LONG = 2.0


def equal(got, expected):
    if got != expected:
        raise ValueError(f"expected {expected!r}, got {got!r}")


def tell(seconds):
    print(f"{seconds:e}", flush=True)


def note(words):
    print(f"note: {words}", flush=True)


def repeat(seconds, once):
    """After one time that does not count. What takes long counts the first time, and is not repeated."""
    begin = time.perf_counter()
    first = once()
    if first > LONG:
        return tell(first)
    count = 0
    while count < 3 or (count < 1000 and time.perf_counter() - begin < seconds):
        tell(once())
        count += 1


def timed(call, expected):
    begin = time.perf_counter()
    answer = call()
    took = time.perf_counter() - begin
    equal(answer, expected)
    return took


def start(library, seconds):
    repeat(seconds, lambda: timed(lambda: library.start(7), work.work(7)))


def start_1gib(library, seconds):
    ballast = bytearray(b"\1") * (1024 * work.MIB)
    start(library, seconds)
    equal(len(ballast), 1024 * work.MIB)


def pool(library, seconds):
    def once():
        begin = time.perf_counter()
        workers = library()
        answer = sum(workers.map(work.work, range(2), 1))
        took = time.perf_counter() - begin
        equal(answer, work.all_work(2))
        workers.stop()
        return took

    repeat(seconds, once)


def warm(library):
    workers = library()
    equal(sum(workers.map(work.work, range(64), 1)), work.all_work(64))
    return workers


def stream(library, seconds, chunk):
    workers = warm(library)
    tasks = 256
    while True:
        took = timed(lambda: sum(workers.map(work.work, range(tasks), chunk)), work.all_work(tasks))
        if took > seconds / 3:
            break
        tasks *= 8 if took < seconds / 30 else 2
    tell(took / tasks)
    workers.stop()


def round_trip(library, seconds):
    workers = warm(library)
    repeat(seconds, lambda: timed(lambda: workers.submit(work.work, 7)(), work.work(7)))
    workers.stop()


def send_bytes(library, seconds):
    workers = warm(library)
    data = work.content(64 * work.MIB)
    expected = work.ends(data)
    repeat(seconds, lambda: timed(lambda: workers.submit(work.ends, data)(), expected))
    workers.stop()


def bits(name, library, seconds, chunk):
    def once():
        begin = time.perf_counter()
        table = work.bit_table()
        if name == "mpire":
            workers, task = library(table), work.look_up_in
        elif name == "joblib":
            workers, task = library(), work.look_up_own
        else:
            workers, task = library(work.keep, (table,)), work.look_up
        answer = sum(workers.map(task, range(1 << 16), chunk))
        workers.stop()
        took = time.perf_counter() - begin
        equal(answer, work.ALL_BITS)
        return took

    repeat(seconds, once)


def table(name, library, seconds):
    """Forked workers inherit the table; others attach to shared memory; joblib maps large arrays itself."""
    from multiprocessing import shared_memory

    big = work.big_table()
    memory = None
    if name in ("spawn", "forkserver", "loky"):
        memory = shared_memory.SharedMemory(create=True, size=work.TABLE_BYTES)
        memory.buf[:] = memoryview(big)

    def once():
        begin = time.perf_counter()
        if name == "joblib":
            workers = library()
            answer = workers.submit(work.last_of, big)()
        elif name == "mpire":
            workers = library(big)
            answer = workers.submit(work.last_of, None)()
        else:
            workers = library(work.attach, (memory.name,)) if memory else library(work.keep, (big,))
            answer = workers.submit(work.last_kept, None)()
        took = time.perf_counter() - begin
        equal(answer, 3)
        workers.stop()
        return took

    try:
        repeat(seconds, once)
    finally:
        if memory:
            memory.close()
            memory.unlink()


def crash(name, library):
    workers = warm(library)
    begin = time.perf_counter()
    answered, failure = outcomes(name, workers)
    tell(time.perf_counter() - begin)
    why = f" ({type(failure).__name__})" if failure and answered < work.CRASH_TASKS - 1 else ""
    note(f"{answered} of {work.CRASH_TASKS - 1} others answered{why}")
    try:
        usable = workers.submit(work.work, 7)() == work.work(7)
    except Exception:
        usable = False
    note("then usable" if usable else "then broken")
    workers.stop()


def outcomes(name, workers):
    """Gives all tasks at once; how many had answers, and the last error."""
    answered, failure = 0, None
    if name == "joblib":
        # One call for all tasks is all that it has.
        try:
            return len(workers.map(work.crash_task, range(work.CRASH_TASKS), 1)), None
        except Exception as error:
            return 0, error
    waiting = []
    for index in range(work.CRASH_TASKS):
        try:
            waiting.append((index, workers.submit(work.crash_task, index)))
        except Exception as error:
            failure = error
    for index, wait in waiting:
        try:
            answered += wait() == work.work(index)
        except Exception as error:
            failure = error
    return answered, failure


def preload(measure):
    """The fork server has imported what its children need, as its documentation advises, so that none of them does.

    It does not get our `sys.path`, and says nothing of a module that it cannot find: so it gets the folder in which
    this file is, where the modules of others would be installed, and a child is asked."""
    needed = ["work", "multiprocessing.pool"]
    if measure == "table":
        needed += ["multiprocessing.shared_memory", "numpy"]
    folders = [str(pathlib.Path(__file__).parent), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if folder)
    multiprocessing.set_forkserver_preload(needed)
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=work.send_loaded, args=(there, needed))
    child.start()
    there.close()
    equal(here.recv(), needed)
    child.join()


def main():
    measure, name, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    library = LIBRARIES[name]
    if name == "forkserver":
        preload(measure)
    match measure:
        case "start":
            start(library, seconds)
        case "start-1gib":
            start_1gib(library, seconds)
        case "pool":
            pool(library, seconds)
        case "tasks":
            stream(library, seconds, 1)
        case "chunks":
            stream(library, seconds, work.CHUNK)
        case "chunks-own":
            stream(library, seconds, None)
        case "round-trip":
            round_trip(library, seconds)
        case "bytes":
            send_bytes(library, seconds)
        case "bits":
            bits(name, library, seconds, 1)
        case "bits-chunks":
            bits(name, library, seconds, work.CHUNK)
        case "table":
            table(name, library, seconds)
        case "crash":
            crash(name, library)
        case _:
            raise ValueError(f"{measure!r} is no measure")
