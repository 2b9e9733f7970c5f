"""The libraries behind one face, each used as its documentation does."""

import concurrent.futures
import multiprocessing

import work


class Library:
    """A pool of two workers. `chunk` is a number of tasks, or None for what the library chooses."""

    def __init__(self, initializer=None, arguments=()):
        raise NotImplementedError

    def map(self, function, inputs, chunk):
        raise NotImplementedError

    def submit(self, function, argument):
        """Gives a task; what is returned waits for its answer when it is called."""
        raise NotImplementedError

    def outcome(self, task, patience):
        """The answer of what `submit` gave, or its error; TimeoutError if there is neither for so many seconds."""
        return task(patience)

    def stop(self):
        raise NotImplementedError


class Multiprocessing(Library):
    method = None

    def __init__(self, initializer=None, arguments=()):
        context = multiprocessing.get_context(self.method)
        self.pool = context.Pool(work.WORKERS, initializer, arguments)

    @classmethod
    def start(cls, number):
        context = multiprocessing.get_context(cls.method)
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=work.send_work, args=(there, number))
        process.start()
        there.close()
        answer = here.recv()
        process.join()
        return answer

    def map(self, function, inputs, chunk):
        return self.pool.map(function, inputs, chunk)

    def submit(self, function, argument):
        return self.pool.apply_async(function, (argument,)).get

    def stop(self):
        self.pool.terminate()
        self.pool.join()


class MultiprocessingFork(Multiprocessing):
    method = "fork"


class MultiprocessingSpawn(Multiprocessing):
    method = "spawn"


class MultiprocessingForkserver(Multiprocessing):
    method = "forkserver"


class Futures(Library):
    def __init__(self, initializer=None, arguments=()):
        self.pool = concurrent.futures.ProcessPoolExecutor(
            work.WORKERS, initializer=initializer, initargs=arguments
        )

    def map(self, function, inputs, chunk):
        return self.pool.map(function, inputs, chunksize=chunk or 1)

    def submit(self, function, argument):
        return self.pool.submit(function, argument).result

    def stop(self):
        self.pool.shutdown()


class Loky(Futures):
    def __init__(self, initializer=None, arguments=()):
        from loky import get_reusable_executor

        self.pool = get_reusable_executor(
            work.WORKERS, initializer=initializer, initargs=arguments
        )


class Joblib(Library):
    """Has no initialiser, and no call for one task."""

    def __init__(self, initializer=None, arguments=()):
        self.parallel(None)

    def parallel(self, chunk):
        from joblib import Parallel

        # The workers below are kept from one to the next.
        return Parallel(n_jobs=work.WORKERS, batch_size=chunk or "auto")

    def map(self, function, inputs, chunk):
        from joblib import delayed

        return self.parallel(chunk)(delayed(function)(value) for value in inputs)

    def submit(self, function, argument):
        return lambda: self.map(function, [argument], 1)[0]

    def stop(self):
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)


class Mpire(Library):
    """Workers are forked, and get what they share as the first argument of each task."""

    def __init__(self, shared=None):
        from mpire import WorkerPool

        self.pool = WorkerPool(
            work.WORKERS, shared_objects=shared, start_method="fork", keep_alive=True
        )

    def map(self, function, inputs, chunk):
        return self.pool.map(function, inputs, chunk_size=chunk)

    def submit(self, function, argument):
        return self.pool.apply_async(function, (argument,)).get

    def stop(self):
        self.pool.terminate()


class Pebble(Library):
    def __init__(self, initializer=None, arguments=()):
        from pebble import ProcessPool

        self.pool = ProcessPool(work.WORKERS, initializer=initializer, initargs=arguments)

    @classmethod
    def start(cls, number):
        from pebble import concurrent

        return concurrent.process(work.work)(number).result()

    def map(self, function, inputs, chunk):
        return self.pool.map(function, inputs, chunksize=chunk or 1).result()

    def submit(self, function, argument):
        return self.pool.schedule(function, args=(argument,)).result

    def stop(self):
        self.pool.stop()
        self.pool.join()


LIBRARIES = {
    "fork": MultiprocessingFork,
    "spawn": MultiprocessingSpawn,
    "forkserver": MultiprocessingForkserver,
    "futures": Futures,
    "loky": Loky,
    "joblib": Joblib,
    "mpire": Mpire,
    "pebble": Pebble,
}
