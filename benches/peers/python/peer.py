"""Measures a library of Python: `peer.py <measure> <library> <seconds>`.

Children of `spawn` and `forkserver` run this file again, so there is nothing in it for them to import."""

if __name__ == "__main__":
    import measures

    measures.main()
