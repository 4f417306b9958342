// counts[label, called] of (C + 1)^2: the first largest of scores (N, C); the last row is of labels that are no class,
// the last column of rows with NaN.
//
// Reads N C scores and N labels, twice each score, the second time from L1. A warp a row; counts are whole numbers, so
// that atomics may add them in any order.
#include "common.cuh"

struct Less {
  __device__ int operator()(int a, int b) const { return b < a ? b : a; }
};

template <typename T, typename L>
__global__ void __launch_bounds__(256, 4)
    confusion(const T* scores, const L* labels, long long* counts, int N, int C) {
  const int lane = threadIdx.x % 32;
  for (int n = first() / 32; n < N; n += stride() / 32) {
    const T* row = scores + (long long)n * C;
    T best = -infinity<T>();
    for (int c = lane; c < C; c += 32) best = Greater()(best, row[c]);
    best = warp_reduce(best, Greater());
    int at = C;  // NaN equals nothing: it stays there
    for (int c = lane; c < C && at == C; c += 32)
      if (row[c] == best) at = c;
    at = warp_reduce(at, Less());
    const long long label = labels[n], inside = label >= 0 && label < C ? label : C;
    if (lane == 0) atomicAdd((unsigned long long*)counts + inside * (C + 1) + at, 1ull);
  }
}
