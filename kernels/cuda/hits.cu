// How many rows of scores (N, C) have their (first) largest at the label; a row with NaN never counts.
//
// Reads N C scores and N labels, twice each score, the second time from L1; writes 8 bytes. One block: a warp a row.
#include "common.cuh"

struct Less {
  __device__ int operator()(int a, int b) const { return b < a ? b : a; }
};

template <typename T, typename L>
__global__ void __launch_bounds__(256, 4) hits(const T* scores, const L* labels, long long* out, int N, int C) {
  const int lane = threadIdx.x % 32;
  long long right = 0;
  for (int n = threadIdx.x / 32; n < N; n += 8) {
    const T* row = scores + (long long)n * C;
    T best = -infinity<T>();
    for (int c = lane; c < C; c += 32) best = Greater()(best, row[c]);
    best = warp_reduce(best, Greater());
    int at = C;  // NaN equals nothing: it stays there
    for (int c = lane; c < C && at == C; c += 32)
      if (row[c] == best) at = c;
    at = warp_reduce(at, Less());
    if (lane == 0 && at < C && at == (long long)labels[n]) ++right;
  }
  right = block_reduce<256>(right, 0ll, Plus());
  if (threadIdx.x == 0) out[0] = right;
}
