"""The stand-in's streams: what is asked for under capture is written down, and done when the graph is launched."""

from __future__ import annotations

from contextlib import contextmanager

captures: list[list] = []
"""What is being written down, if anything: [what to do again, ...]."""
pools: list[object] = []
"""The allocators in use, the last one first asked."""
gpus = [0]
"""The stack of current devices."""
graphs: list[Graph] = []
"""Every graph that was made: the test's window."""
failure: dict[str, Exception] = {}
"""What "begin" or "end" of a capture raises."""


class CaptureError(RuntimeError):
    """As cudaErrorStreamCaptureUnsupported."""


def refuse(what):
    """Under capture CUDA and its libraries do not wait, copy from the host, or call cuBLAS."""
    if captures:
        raise CaptureError(f"cudaErrorStreamCaptureUnsupported: {what} under capture")


def allocated():
    """Memory that a captured step takes must stay its own."""
    if captures:
        assert pools, "an allocation under capture from the pool that everyone uses"


def launched(run):
    """What the GPU does: now, or when the graph is launched."""
    if captures:
        captures[-1].append(run)
    else:
        run()


class Null:
    """The legacy stream. A test may set `capturing`."""

    ptr = 0
    capturing = False

    def is_capturing(self):
        return self.capturing


_stack = [Null()]
"""The streams that are current, one inside the other."""


def current():
    return _stack[-1]


class Stream:
    def __init__(self, null=False, non_blocking=False):
        assert non_blocking, "the legacy stream, and what waits for it, cannot be captured"
        self.ptr = id(self)

    def is_capturing(self):
        return bool(captures)

    def __enter__(self):
        _stack.append(self)
        return self

    def __exit__(self, *_):
        _stack.pop()

    def begin_capture(self, mode=None):
        assert current() is self, "what is captured goes to the current stream"
        if "begin" in failure:
            raise failure["begin"]
        captures.append([])

    def end_capture(self):
        runs = captures.pop()
        if "end" in failure:
            raise failure["end"]
        return Graph(runs)


class Graph:
    def __init__(self, runs):
        self.runs, self.launches, self.gpu = runs, 0, gpus[-1]
        graphs.append(self)

    def launch(self, stream=None):
        assert not captures
        assert gpus[-1] == self.gpu, "a graph of another GPU than the current one"
        self.launches += 1
        for run in self.runs:
            run()


class MemoryPool:
    def malloc(self, size):
        raise NotImplementedError


@contextmanager
def using_allocator(allocator):
    pools.append(allocator)
    try:
        yield
    finally:
        pools.pop()
