// The GRU's gates for `recurrent.cuh`: r, z, n; the candidate's part by h, with its bias, is saved.
#pragma once
#include "common.cuh"

struct Gru {
  static constexpr int GATES = 3;
  static constexpr bool CELL = false, HIDDEN_BIAS = true;

  template <typename T>
  __device__ static T forward(T* z, const T* p, T h, T bias, T& saved) {
    saved = p[2] + bias;
    z[0] = sigmoid(z[0] + p[0]), z[1] = sigmoid(z[1] + p[1]), z[2] = tanh(z[2] + z[0] * saved);
    return (T(1) - z[1]) * z[2] + z[1] * h;
  }

  // dz: the gradients of the sums by x, dp: of those by h; carry: what goes to the state before directly.
  template <typename T>
  __device__ static void backward(const T* gates, T m, T h, T c, T dh, T& carry, T* dz, T* dp) {
    const T r = gates[0], z = gates[1], n = gates[2];
    dh += carry;
    dz[2] = dh * (T(1) - z) * (T(1) - n * n);
    dz[0] = dp[0] = dz[2] * m * r * (T(1) - r);
    dz[1] = dp[1] = dh * (h - n) * z * (T(1) - z);
    dp[2] = dz[2] * r;
    carry = dh * z;
  }
};
