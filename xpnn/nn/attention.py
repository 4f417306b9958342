"""Multi-head attention."""

from __future__ import annotations

from typing import Any

from xpnn import ops
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError
from xpnn.nn.dense import Dense
from xpnn.nn.module import Held, Module
from xpnn.ops.attention import need_heads
from xpnn.ops.window import need_size


class MultiHeadAttention(Module):
    """Attention between linear maps of query, key and value, in `heads` slices of the features side by side:

        y = concat over h of attention(query w_q, key w_k, value w_v in slice h) w_o, each product plus a bias

    query (N, T, features), key and value (N, S, features), y (N, T, features). key is the query (self-attention) and
    value the key where they are left out. causal: a query sees no later key; lengths (N,): how many of the keys are no
    padding (see `xpnn.ops.attention`). The maps are Dense layers: `query`, `key`, `value` and `out`. Vaswani et al.,
    NIPS 2017, section 3.2.2. ConfigError unless the heads divide the features, ShapeError in forward.
    """

    def __init__(self, features: int, heads: int, causal: bool = False, bias: bool = True) -> None:
        need_heads("MultiHeadAttention", need_size("MultiHeadAttention", "features", features), heads)
        if not isinstance(causal, bool) or not isinstance(bias, bool):
            raise ConfigError(
                f"MultiHeadAttention: expected causal and bias as True or False; got {causal!r}, {bias!r}"
            )
        self.features, self.heads, self.causal, self.bias = features, heads, causal, bias
        self.query, self.key = Dense(features, features, bias=bias), Dense(features, features, bias=bias)
        self.value, self.out = Dense(features, features, bias=bias), Dense(features, features, bias=bias)

    @staticmethod
    def holds(**settings: Any) -> Held:
        E = settings["features"]
        need_heads("MultiHeadAttention", need_size("MultiHeadAttention", "features", E), settings["heads"])
        held: Held = {}
        for part in ("query", "key", "value", "out"):
            tensors = Dense.holds(in_features=E, out_features=E, bias=settings["bias"])
            held |= {part: ("Dense", None), **{f"{part}.{name}": entry for name, entry in tensors.items()}}
        return held

    def forward(
        self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, lengths: Any = None
    ) -> Tensor:
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = self.query(query), self.key(key), self.value(value)
        return self.out(ops.attention(q, k, v, self.heads, self.causal, lengths))
