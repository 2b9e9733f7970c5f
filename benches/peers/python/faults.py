"""The same faults for all libraries: `bash benches/peers/faults [--rounds <n>] [--seed <n>] [--only <substring>]`.

Killed workers: a pool of two has 2,000 tasks of 2 ms; every now and then a worker that has begun a task is killed. Of
each task it is counted whether it had its answer, an error, or neither of the two.

Killed programs: the program is killed while one of its two workers sleeps and one keeps a processor busy; it is counted
which processes are there five seconds later."""

import argparse
import collections
import os
import pathlib
import platform
import random
import select
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TASKS = 2000
# The mean time between two kills, in seconds.
PERIOD = 0.05
# A program that says nothing for so long hangs; a task is waited for no longer than ten seconds.
SILENCE = 30.0
# What is there so long after a program was killed, stays.
ORPHANED = 5.0
MARK = "PEERS_MARK"

Peer = collections.namedtuple("Peer", "name command variant")


def peers(programs):
    rust = lambda library, variant="": Peer(
        f"{library} {variant}".strip(), [str(programs / f"peer-{library}")], variant or "-"
    )
    python = lambda name, variant: Peer(name, [sys.executable, str(HERE / "victim.py")], variant)
    return [
        rust("offspring", "fork"),
        rust("offspring", "spawn"),
        rust("offspring", "forkserver"),
        rust("procspawn"),
        python("multiprocessing.Pool fork", "fork"),
        python("multiprocessing.Pool spawn", "spawn"),
        python("multiprocessing.Pool forkserver", "forkserver"),
        python("ProcessPoolExecutor", "futures"),
        python("loky", "loky"),
        python("mpire", "mpire"),
        python("Pebble", "pebble"),
    ]


class Program:
    """One run of a library's program, and all processes that come of it."""

    def __init__(self, peer, fault):
        self.notes = tempfile.TemporaryDirectory()
        self.mark = f"{os.getpid()}-{random.getrandbits(64):x}"
        environment = dict(os.environ, PEERS_NOTES=self.notes.name, **{MARK: self.mark})
        self.process = subprocess.Popen(
            [*peer.command, fault, peer.variant, str(TASKS)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def workers(self):
        return {int(note.name) for note in pathlib.Path(self.notes.name).iterdir()}

    def alive(self):
        """Processes with its mark in their environment, however they are related to it."""
        wanted = f"{MARK}={self.mark}".encode()
        found = set()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    environment = pathlib.Path("/proc", entry, "environ").read_bytes()
                except OSError:
                    continue
                if wanted in environment.split(b"\0"):
                    found.add(int(entry))
        return found

    def end(self):
        for _ in range(100):
            left = self.alive()
            if not left:
                break
            for pid in left:
                kill(pid)
            time.sleep(0.01)
        self.process.stdout.close()
        self.process.wait()
        self.notes.cleanup()


def kill(pid):
    """False if there is no such process."""
    try:
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
    except ProcessLookupError:
        return False
    return True


def killed_workers(peer, rng):
    """How many were killed, what came of the tasks, and after how long it was all known."""
    program = Program(peer, "killed-workers")
    kills, killed, text, ended = 0, set(), b"", False
    begun = heard = time.monotonic()
    next_kill = begun + rng.uniform(0, 2 * PERIOD)
    try:
        while not ended and time.monotonic() < heard + SILENCE:
            wait = max(0.0, next_kill - time.monotonic())
            if select.select([program.process.stdout], [], [], wait)[0]:
                piece = os.read(program.process.stdout.fileno(), 1 << 16)
                heard = time.monotonic()
                text += piece
                ended = not piece or text.endswith(b"end\n")
            elif victims := sorted((program.workers() - killed) & program.alive()):
                victim = rng.choice(victims)
                killed.add(victim)
                kills += kill(victim)
                next_kill = time.monotonic() + rng.uniform(0, 2 * PERIOD)
            else:
                next_kill = time.monotonic() + 0.001
    finally:
        program.end()
    letters = collections.Counter(text.decode().split())
    told = sum(letters[letter] for letter in "awe")
    return kills, letters["a"], letters["w"], letters["e"], TASKS - told, heard - begun


def killed_itself(peer, rng):
    """How many processes stayed; after how long the last one that went was gone."""
    program = Program(peer, "killed-itself")
    try:
        limit = time.monotonic() + SILENCE
        while len(program.workers()) < 2:
            if time.monotonic() > limit:
                raise RuntimeError(f"{peer.name}: the workers do not come up")
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        program.process.kill()
        program.process.wait()
        begun = time.monotonic()
        last = 0.0
        left = program.alive()
        while left and time.monotonic() < begun + ORPHANED:
            before, left = left, program.alive()
            if left != before:
                last = time.monotonic() - begun
            time.sleep(0.001)
        return len(left), last
    finally:
        program.end()


def show(row):
    print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def head(*names):
    print()
    show(names)
    show(["---"] * len(names))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    parser.add_argument("--only", default="", metavar="SUBSTRING")
    options = parser.parse_args()
    chosen = [peer for peer in peers(options.programs) if options.only in peer.name]
    print(f"{os.cpu_count()} processors, Linux {platform.release()}, Python {platform.python_version()}")
    print(f"{options.rounds} rounds, seed {options.seed}")

    head("workers killed", "kills", "answers", "wrong", "errors", "neither", "longest round")
    for peer in chosen:
        rng = random.Random(options.seed)
        rounds = [killed_workers(peer, rng) for _ in range(options.rounds)]
        sums = [sum(column) for column in list(zip(*rounds))[:5]]
        show([peer.name, *sums, f"{max(round[5] for round in rounds):.1f} s"])

    head("program killed", "programs", "with processes that stay", "processes that stay", "last of the others gone")
    for peer in chosen:
        rng = random.Random(options.seed)
        rounds = [killed_itself(peer, rng) for _ in range(4 * options.rounds)]
        stayed = [left for left, _ in rounds if left]
        last = max(last for _, last in rounds)
        show([peer.name, len(rounds), len(stayed), sum(stayed), f"{last * 1000:.0f} ms"])


if __name__ == "__main__":
    main()
