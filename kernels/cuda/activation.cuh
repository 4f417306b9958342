// Activations and their derivatives by code, for the kernels of their own and for those that fuse one.
#pragma once
#include "common.cuh"

enum Activation { NONE, RELU, SIGMOID, TANH, LEAKY_RELU, ELU, GELU, SILU, SOFTPLUS, HARD_SIGMOID, STEP };

template <typename T>
__device__ T gelu_tanh(T x) {
  return tanh(T(0.7978845608028654) * (x + T(0.044715) * x * x * x));
}

// f(x); p: the slope of leaky_relu, the alpha of elu. Comparisons are such that NaN comes out of them.
template <typename T>
__device__ T activate(int code, T p, T x) {
  switch (code) {
    case RELU: return x < T(0) ? T(0) : x;
    case SIGMOID: return sigmoid(x);
    case TANH: return tanh(x);
    case LEAKY_RELU: return x > T(0) ? x : p * x;
    case ELU: return x > T(0) ? x : p * expm1(x);
    case GELU: return T(0.5) * x * (T(1) + gelu_tanh(x));
    case SILU: return x * sigmoid(x);
    case SOFTPLUS: return (x < T(0) ? T(0) : x) + log1p(exp(-fabs(x)));
    case HARD_SIGMOID: {
      const T y = x * T(1.0 / 6) + T(0.5);
      return y < T(0) ? T(0) : y > T(1) ? T(1) : y;
    }
    case STEP: return x > T(0) ? T(1) : x == x ? T(0) : x;
    default: return x;
  }
}

__device__ inline bool reads_x(int code) { return code == LEAKY_RELU || code == GELU || code == SILU; }

// dy f'(x), from what was kept: x where the code reads that, y for the others. First those that are a product or two.
template <typename T>
__device__ T short_back(int code, T p, T kept, T dy) {
  switch (code) {
    case RELU: return kept > T(0) ? dy : T(0) * dy;
    case SIGMOID: return dy * kept * (T(1) - kept);
    case TANH: return dy * (T(1) - kept * kept);
    case LEAKY_RELU: return kept > T(0) ? dy : p * dy;
    case ELU: return kept > T(0) ? dy : dy * (kept + p);
    case HARD_SIGMOID: return dy * (kept > T(0) && kept < T(1) ? T(1.0 / 6) : T(0));
    default: return dy;
  }
}

template <typename T>
__device__ T activate_back(int code, T p, T kept, T dy) {
  switch (code) {
    case GELU: {
      // Beyond 10 the slope is 0 or 1 to the last bit, and x^3 would overflow.
      const T x = kept > T(10) ? T(10) : kept < T(-10) ? T(-10) : kept, t = gelu_tanh(x);
      const T inner = T(0.7978845608028654) * (T(1) + T(3 * 0.044715) * x * x);
      return dy * T(0.5) * ((T(1) + t) + x * (T(1) - t * t) * inner);
    }
    case SILU: {
      const T s = sigmoid(kept);
      return dy * s * (T(1) + kept * (T(1) - s));
    }
    case SOFTPLUS: return dy * -expm1(-kept);
    default: return short_back(code, p, kept, dy);
  }
}
