// A batch from a data set: x[n] = data[row] * scale + shift, y[n] = targets[row], with row = order[at + n].
//
// Reads each row of F elements once (1 byte an element from uint8) and writes it once (4 in float32): bound by memory.
// Targets are copied as words of 4 bytes, whatever they are. An index that names no row gives NaN and zeros, as nothing
// here can raise. The last block to end writes where the next batch begins: every other has read `at` by then.
#include "common.cuh"

template <typename T>
__device__ T nothing() { return not_a_number<T>(); }
template <>
__device__ inline int nothing<int>() { return 0; }
template <>
__device__ inline long long nothing<long long>() { return 0; }

template <typename D, typename T>
__global__ void __launch_bounds__(256, 4)
    gather(const D* data, const int* targets, const long long* order, const long long* at, const T* scale,
           const T* shift, T* x, int* y, long long* next, long long rows, long long F, long long G, long long size,
           long long all) {
  const T a = scale[0], b = shift[0];
  const long long start = at[0];
  for (long long i = first(); i < size * F; i += stride()) {
    const long long n = start + i / F, row = n >= 0 && n < all ? order[n] : -1;
    x[i] = row >= 0 && row < rows ? T(data[row * F + i % F]) * a + b : nothing<T>();
  }
  for (long long i = first(); i < size * G; i += stride()) {
    const long long n = start + i / G, row = n >= 0 && n < all ? order[n] : -1;
    y[i] = row >= 0 && row < rows ? targets[row * G + i % G] : 0;
  }
  if (last_block()) next[0] = start + size;
}
