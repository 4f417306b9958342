// How a block reduces: many elements to each of a few results, in a fixed order. See reduction.cu.
#pragma once
#include "common.cuh"

enum Code { SUM, MAX, MIN, ARGMAX, ARGMIN };

template <typename T, int CODE>
struct Rule {
  using V = T;
  __device__ static V none() {
    if constexpr (CODE == SUM) return T(0);
    else return CODE == MAX ? -infinity<T>() : infinity<T>();
  }
  __device__ static V of(T x, long long) { return x; }
  __device__ static V both(V a, V b) {  // NaN stays
    if constexpr (CODE == SUM) return a + b;
    else if constexpr (CODE == MAX) return b > a || b != b ? b : a;
    else return b < a || b != b ? b : a;
  }
  __device__ static T result(V v, T count) { return v / count; }
};

// n results of R elements each; a block has `width` results, neighbouring threads elements of one (by_row) or results.
struct Shares {
  long long R, n;
  int by_row, width;
};

// y[o] = the elements (o, r) put together, 0 <= r < R; of a share of them for each gridDim.y, one after the other.
template <typename F, typename E, typename Y, typename T>
__device__ void reduce(const Shares& s, Y* y, T count, E element) {
  __shared__ typename F::V all[256];
  const int t = threadIdx.x, lanes = 256 / s.width;
  const int mine = s.by_row ? t / lanes : t % s.width, lane = s.by_row ? t % lanes : t / s.width;
  const long long o = (long long)blockIdx.x * s.width + mine, end = s.R * (blockIdx.y + 1) / gridDim.y;
  typename F::V v = F::none();
  for (long long r = s.R * blockIdx.y / gridDim.y + lane; o < s.n && r < end; r += lanes)
    v = F::both(v, F::of(element(o, r), r));
  all[lane * s.width + mine] = v;
  __syncthreads();
  for (int k = 128; k >= s.width; k /= 2) {
    if (t < k) all[t] = F::both(all[t], all[t + k]);
    __syncthreads();
  }
  if (lane == 0 && o < s.n) y[blockIdx.y * s.n + o] = F::result(all[mine], gridDim.y == 1 ? count : T(1));
}
