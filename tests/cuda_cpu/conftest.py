"""The stand-in for CuPy, as `cupy`, and sources that are broken in one place, for one test."""

from __future__ import annotations

import shutil

import pytest

from cuda_cpu import standin
from xpnn.backends.cupy import module


@pytest.fixture
def cupy():
    with standin.installed(standin.load()) as fake:
        yield fake


@pytest.fixture
def broken(tmp_path):
    """broken(file, old, new) is a folder with the sources, one place of one file changed."""

    def change(file, old, new):
        folder = shutil.copytree(module.folder(), tmp_path / "cuda")
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))
        return folder

    return change
