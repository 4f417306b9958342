"""Every instantiation that the bindings can ask for compiles, on six architectures, within its budget."""

from __future__ import annotations

import sys
from collections import defaultdict

import pytest

from cuda_gate import gate, nvrtc
from cuda_gate.nvrtc import Use
from xpnn.backends.cupy import module
from xpnn.backends.cupy.module import Source
from xpnn.errors import BackendError

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
SOURCES = module.declared()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_compiles_within_its_budget(source):
    assert source.instantiations, "a source without kernels"
    found = gate.compiled(source)
    for architecture in gate.ARCHITECTURES:
        lacking = set(gate.expected(source, architecture)) - set(found[architecture])
        assert not lacking, f"{architecture}: nothing came out for {lacking}"
    wrong = gate.excesses(gate.table([source]), gate.read(gate.FILE.read_text()))
    assert not wrong, "\n".join(wrong)


def test_the_table_has_nothing_else():
    assert set(gate.read(gate.FILE.read_text())) == set(gate.table(SOURCES))


def test_every_source_is_declared_by_one_binding():
    """A file that nobody declares is neither compiled nor run."""
    bindings = defaultdict(set)
    for name, binding in sys.modules.items():
        if name.startswith("xpnn.backends.cupy."):
            for source in vars(binding).values():
                if isinstance(source, Source):
                    bindings[source.stem].add(name)
    assert set(bindings) == {path.stem for path in module.folder().glob("*.cu")}
    assert not {stem: names for stem, names in bindings.items() if len(names) > 1}


# Can it fail? -------------------------------------------------------------------------------------------------------


def compiled(text, *names):
    return nvrtc.compile_for("sm_80", text, names, module.STANDARD)


@pytest.mark.parametrize(
    "text", ["__global__ void f(float* x) { x[0] = y; }", "__global__ void f(float x) { x = INFINITY; }"]
)
def test_an_error_is_an_error(text):
    with pytest.raises(BackendError, match="error: identifier"):
        compiled(text, "f")


def test_a_name_that_no_kernel_has():
    with pytest.raises(BackendError):
        compiled("template <typename T> __global__ void f(T* x) {}", "g<float>")
    with pytest.raises(BackendError):  # the function is there, but no kernel
        compiled("__device__ void f(float* x) {}", "f")


def test_stack_is_seen():
    text = """__global__ void __launch_bounds__(1024, 2) f(float* x, const int* at) {
        float v[200];
        for (int i = 0; i < 200; ++i) v[i] = x[i];
        for (int i = 0; i < 200; ++i) v[at[i]] *= v[i];
        for (int i = 0; i < 200; ++i) x[i] = v[i];
    }"""
    assert compiled(text, "f")["f"].stack >= 800


def test_only_formats_are_left_out_and_only_where_they_lack():
    source = next(source for source in SOURCES if source.stem == "matmul")
    left_out = {a: set(source.instantiations) - set(gate.expected(source, a)) for a in gate.ARCHITECTURES}
    assert {name.partition("<")[2].partition(",")[0] for name in left_out.pop("sm_75")} == {"Tf32", "Bf16"}
    assert not any(left_out.values())


def test_growth_is_noticed():
    key, one = ("softmax", "total float"), Use(30, 64, 0, 0)
    allowed = {key: {"sm_80": one}}

    def wrong(**changes):
        return gate.excesses({key: {"sm_80": one._replace(**changes)}}, allowed)

    assert not wrong(registers=30 + gate.MORE)
    assert wrong(registers=31 + gate.MORE) == [
        "softmax.cu, total float, sm_80: 33 registers and 64 bytes of shared memory; the table has 30 and 64"
    ]
    assert wrong(shared=65)
    assert wrong(spilled=4) == ["softmax.cu, total float, sm_80: 4 bytes spilled, 0 of stack"]
    assert wrong(stack=8)
    assert gate.excesses({("new", "f float"): {"sm_80": one}}, allowed)[0].endswith("gate.py`")


def test_the_log_is_understood():
    log = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z1fIfEvPT_' for 'sm_80'
ptxas info    : Function properties for _Z1fIfEvPT_
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 16 bytes cumulative stack size, 128 bytes smem, 384 bytes cmem[0]
"""
    assert nvrtc.report(log) == {"_Z1fIfEvPT_": Use(40, 128, 16, 32)}


def test_an_undeclared_kernel_is_refused(monkeypatch):
    import sys
    from types import SimpleNamespace

    runtime = SimpleNamespace(getDevice=lambda: 0)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    with pytest.raises(BackendError, match=r"loss.cu: f<half> is not among the instantiations that are declared"):
        Source("loss", {"f": (module.REAL,)}).kernel("f", "half")
