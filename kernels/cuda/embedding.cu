// Rows of a table by id, their gradient, and one-hot rows. NaN rows where there is no such id.
//
//   gather   y[p] = table[ids[p]]: reads and writes every row that is asked for; bound by memory
//   scatter  dtable[v] = the sum of dy[p] over the p with ids[p] = v, in the order of p, without atomics
//   one_hot  y[p, c] = 1 where ids[p] = c
//
// A block of scatter has one row of dtable and goes through all ids, 256 at a time, from L2: min(V, P) P comparisons in
// all, where sorting would take several launches. With V <= P a block has row v; else it has the id at place p, leaves
// if that came before, and `clear` has written the rows without a place.
#include "common.cuh"

template <typename T, typename L>
__global__ void __launch_bounds__(256, 4) gather(const T* table, const L* ids, T* y, long long V, int E, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long p = i / E, v = ids[p];
    y[i] = v >= 0 && v < V ? table[v * E + (i - p * E)] : not_a_number<T>();
  }
}

template <typename T>
__global__ void __launch_bounds__(256, 4) clear(T* x, long long n) {
  for (long long i = first(); i < n; i += stride()) x[i] = T(0);
}

// width: a power of two; so many columns has a block, in 256 / width places at a time.
template <typename T, typename L>
__global__ void __launch_bounds__(256, 4)
    scatter(const T* dy, const L* ids, T* dtable, bool by_row, long long V, int E, int P, int width) {
  __shared__ int places[256], found[8];
  __shared__ T sums[256];
  const int t = threadIdx.x, c = blockIdx.y * width + t % width;
  const long long v = by_row ? blockIdx.x : (long long)ids[blockIdx.x];
  if (v < 0 || v >= V) return;
  bool seen = false;
  T sum = T(0);
  for (int start = 0; start < P; start += 256) {
    const bool same = start + t < P && (long long)ids[start + t] == v;
    const unsigned lanes = __ballot_sync(~0u, same);
    if (t % 32 == 0) found[t / 32] = __popc(lanes);
    __syncthreads();
    int before = __popc(lanes & ((1u << t % 32) - 1)), count = 0;
    for (int w = 0; w < 8; ++w) before += w < t / 32 ? found[w] : 0, count += found[w];
    if (same) places[before] = start + t;
    __syncthreads();
    if (!by_row && !seen && count != 0 && places[0] != blockIdx.x) return;  // another block has it
    seen = seen || count != 0;
    if (c < E)
      for (int k = t / width; k < count; k += 256 / width) sum += dy[(long long)places[k] * E + c];
  }
  sums[t] = sum;
  __syncthreads();
  for (int s = 128; s >= width; s /= 2) {
    if (t < s) sums[t] += sums[t + s];
    __syncthreads();
  }
  if (t < width && c < E) dtable[v * E + c] = sums[t];
}

template <typename T, typename L>
__global__ void __launch_bounds__(256, 4) one_hot(const L* ids, T* y, long long C, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long p = i / C, v = ids[p];
    y[i] = v < 0 || v >= C ? not_a_number<T>() : v == i - p * C ? T(1) : T(0);
  }
}
