// The simple recurrent network for `recurrent.cuh`: one sum and its activation, which needs nothing but the output again.
#pragma once
#include "activation.cuh"

template <int ACTIVATION>
struct Rnn {
  static constexpr int GATES = 1;
  static constexpr bool CELL = false, HIDDEN_BIAS = false;

  template <typename T>
  __device__ static T forward(T* z, const T* p, T h, T c, T& saved) {
    return z[0] = activate(ACTIVATION, T(0), z[0] + p[0]);
  }

  template <typename T>
  __device__ static void backward(const T* y, T saved, T h, T c, T dh, T& carry, T* dz, T* dp) {
    dz[0] = dp[0] = activate_back(ACTIVATION, T(0), y[0], dh);
  }
};
