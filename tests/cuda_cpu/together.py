"""What the stand-in compiles together: g++ takes half a second for a source, however little of it is asked for."""

from __future__ import annotations

from functools import cache

from xpnn.backends.cupy import module


def element(name: str) -> str:
    """The first argument of an instantiation: "float" of "forward<float, 16>"."""
    return name.partition("<")[2].partition(",")[0].rstrip(">")


@cache
def instantiations(text: str, name: str) -> tuple[str, ...]:
    """The instantiations of a source for the element type of one of them; of a source that none declares, that one."""
    for source in module.declared():
        path = module.folder() / f"{source.stem}.cu"
        if name in source.instantiations and path.is_file() and text.startswith(path.read_text(encoding="utf-8")):
            return tuple(other for other in source.instantiations if element(other) == element(name))
    return (name,)
