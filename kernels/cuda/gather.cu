// A batch from a data set: out[n] = data[indices[n]] * scale + shift.
//
// Reads each row of F elements once (1 byte an element from uint8) and writes it once (4 in float32): bound by memory.
// An index that names no row gives NaN, as nothing here can raise.
#include "common.cuh"

template <typename D, typename I, typename T>
__global__ void __launch_bounds__(256, 4)
    gather(const D* data, const I* indices, const T* scale, const T* shift, T* out, long long rows, long long F,
           long long n) {
  const T a = scale[0], b = shift[0];
  for (long long i = first(); i < n; i += stride()) {
    const long long row = indices[i / F];
    out[i] = row >= 0 && row < rows ? T(data[row * F + i % F]) * a + b : not_a_number<T>();
  }
}
