"""The embedding layer."""

from __future__ import annotations

from typing import Any

from xpnn import ops
from xpnn.core.tensor import Tensor
from xpnn.nn import init as initialisers
from xpnn.nn.module import Held, Module, parameter
from xpnn.ops.window import need_size


class Embedding(Module):
    """A learned row for each whole number: ids (...) to (..., features). `table` (num_embeddings, features).

    init  name of an initialiser or a function of `xpnn.nn.init`; by default normal with standard deviation 1

    See `xpnn.ops.embedding`. ConfigError for sizes below 1, ShapeError in forward for ids out of range.
    """

    def __init__(
        self, num_embeddings: int, features: int, init: str | initialisers.Initialiser = "standard_normal"
    ) -> None:
        self.num_embeddings = need_size("Embedding", "num_embeddings", num_embeddings)
        self.features = need_size("Embedding", "features", features)
        self.init = init
        self.table = parameter((num_embeddings, features), init)

    @staticmethod
    def holds(**settings: Any) -> Held:
        return {"table": ("parameter", (settings["num_embeddings"], settings["features"]))}

    def forward(self, ids: Any) -> Tensor:
        return ops.embedding(self.table, ids)
