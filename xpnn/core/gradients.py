"""The gradient of a leaf: where it is gathered, and whether there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpnn.core.arithmetic import OPS as ARITHMETIC
from xpnn.core.op import Array, Spec
from xpnn.core.recording import active

if TYPE_CHECKING:
    from xpnn.core.contract import Backend


class Gradients:
    """The half of a Tensor that gathers its gradient."""

    __slots__ = ("_grad", "_grad_state", "backend", "data")

    data: Array
    backend: Backend
    _grad: Array | None
    _grad_state: bool

    @property
    def grad_state(self) -> bool:
        """Has a gradient been gathered since `zero_grad`?"""
        return self._grad_state

    @grad_state.setter
    def grad_state(self, value: bool) -> None:
        self._grad_state = value
        recording = active()
        if recording is not None:
            recording.gradient_written(self)

    def _grad_known(self) -> bool:
        recording = active()
        if recording is not None:
            recording.gradient_read(self, self._grad_state)
        return self._grad_state

    def settle_grad(self) -> None:
        """Write the zeros that `zero_grad` promised, if no gradient has overwritten the slot since."""
        if self._grad is not None and not self._grad_known():
            self.backend.fill(self._grad, 0)
            self.grad_state = True

    def zero_grad(self) -> None:
        """Forget the gradient. Nothing is written yet: the next backward pass fills the slot in one go."""
        self.grad_state = False

    def grad_slot(self) -> Array:
        """The array that holds this leaf's gradient (a view into an arena, where there is one)."""
        if self._grad is None:
            self._grad = self.backend.empty(Spec(self.data.shape, self.data.dtype))
        recording, slot = active(), self._grad
        if recording is not None:
            recording.gradient_placed(self, slot)
        return slot

    def place_grad(self, slot: Array) -> None:
        """Gather gradients in this array from now on, beginning with what was gathered before."""
        if self._grad is not None and self._grad_known():
            self.backend.copy(self._grad, slot)
        self._grad = slot

    @property
    def grad_is_free(self) -> bool:
        """Will the next gradient overwrite the slot, rather than add to it?"""
        return not self._grad_known()

    def add_grad(self, grad: Array) -> None:
        slot = self.grad_slot()
        if self._grad_known():
            self.backend.forward(ARITHMETIC["add"], (slot, grad), {}, out=(slot,))
        elif grad is not slot:
            self.backend.copy(grad, slot)
        self.grad_state = True
