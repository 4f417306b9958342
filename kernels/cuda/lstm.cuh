// The LSTM's gates for `recurrent.cuh`: i, f, g, o; a second state, the cell, is saved.
#pragma once
#include "common.cuh"

struct Lstm {
  static constexpr int GATES = 4;
  static constexpr bool CELL = true, HIDDEN_BIAS = false;

  // z: the sums by x, then the gates; p: those by h. c: the cell before, then after, which is what is saved.
  template <typename T>
  __device__ static T forward(T* z, const T* p, T h, T c, T& saved) {
    z[0] = sigmoid(z[0] + p[0]), z[1] = sigmoid(z[1] + p[1]), z[2] = tanh(z[2] + p[2]), z[3] = sigmoid(z[3] + p[3]);
    saved = z[1] * c + z[0] * z[2];
    return z[3] * tanh(saved);
  }

  // dz: the gradients of the sums; carry: the gradient of the cell after, then before.
  template <typename T>
  __device__ static void backward(const T* gates, T cell, T h, T c, T dh, T& carry, T* dz, T* dp) {
    const T i = gates[0], f = gates[1], g = gates[2], o = gates[3], squashed = tanh(cell);
    const T dc = carry + dh * o * (T(1) - squashed * squashed);
    dz[0] = dc * g * i * (T(1) - i);
    dz[1] = dc * c * f * (T(1) - f);
    dz[2] = dc * i * (T(1) - g * g);
    dz[3] = dh * squashed * o * (T(1) - o);
    for (int k = 0; k < 4; ++k) dp[k] = dz[k];
    carry = dc * f;
  }
};
