"""Blocks of one launch that hand numbers to one another: in which order they write and read, and past which caches.

A twin on a CPU has one memory and no such order: without a fence it gives the same numbers. So the instructions
themselves are looked at.
"""

from __future__ import annotations

import re
from itertools import product

import pytest

from cuda_cpu.conftest import broken  # noqa: F401
from cuda_gate import nvrtc
from xpnn.backends.cupy import module

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
ORDER = re.compile(r"st\.global|bar\.sync|membar\.gl|atom\.global\.add|ld\.volatile\.global")
BARRIER = "st.global bar.sync membar.gl atom.global.add (ld.volatile.global )+membar.gl bar.sync"
"""All have written, it is there for all, one comes, one waits by loads from L2, what is in L1 is forgotten, on."""


def need_order(folder, name):
    text = (folder / "recurrent_grid.cu").read_text(encoding="utf-8")
    ptx = nvrtc.ptx_for("compute_80", text, [name], (*module.STANDARD, f"-I{folder}"))
    assert re.search(BARRIER, " ".join(ORDER.findall(ptx))), "the barrier of the grid"
    assert "ld.global.nc" not in ptx, "a load that no fence orders"
    assert ("Bf16" in name) == ("ld.global.cg.v4.u32" in ptx), "what is handed on comes from L2"
    assert "ld.global.v4.u32" not in ptx, "what is handed on comes from L2, all of it"


@pytest.mark.parametrize("name", [f"{a}<{b}, Gru>" for a, b in product(("forward", "backward"), ("float", "Bf16"))])
def test_what_blocks_hand_to_one_another(name):
    need_order(module.folder(), name)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("grid.cuh", "__threadfence();  // and it is there for all", ""),
        ("grid.cuh", "__threadfence();  // what is read", "// what is read"),
        ("grid.cuh", "*static_cast<volatile unsigned*>(&blocks_come)", "blocks_come"),
        ("grid.cuh", "  __syncthreads();  // every thread", "  // every thread"),
        ("recurrent_tensor.cuh", "__ldcg(from) :", "*from :"),
        ("recurrent_tensor.cuh", "__ldcg(from + 32)", "__ldg(from + 32)"),
    ],
)
def test_a_cut_is_noticed(broken, file, old, new):  # noqa: F811
    with pytest.raises(AssertionError):
        need_order(broken(file, old, new), "forward<Bf16, Gru>")
