// How many rows of scores (N, C) have their label among the k largest; of equal scores the first counts.
//
// Reads N C scores and N labels once. A warp a row; the counts of warps are whole numbers, so that atomics may add them
// in any order.
#include "common.cuh"

template <typename T, typename L>
__global__ void __launch_bounds__(256, 4)
    hits(const T* scores, const L* labels, int k, long long* counts, int N, int C) {
  const int lane = threadIdx.x % 32;
  long long right = 0;
  for (int n = first() / 32; n < N; n += stride() / 32) {
    const T* row = scores + (long long)n * C;
    const long long label = labels[n];
    if (label < 0 || label >= C) continue;
    const T asked = row[label];
    int ahead = 0, nan = 0;  // with a NaN it is never right
    for (int c = lane; c < C; c += 32) {
      const T score = row[c];
      ahead += score > asked || (score == asked && c < label);
      nan |= score != score;
    }
    if (!__any_sync(~0u, nan) && warp_reduce(ahead, Plus()) < k) ++right;
  }
  if (lane != 0) return;
  if (right != 0) atomicAdd((unsigned long long*)counts, (unsigned long long)right);
  if (first() == 0) atomicAdd((unsigned long long*)counts + 1, (unsigned long long)N);
}
