// Ops that move elements: concat, take, index and astype, and their gradients.
//
// Every element is read and written once, neighbours by neighbouring threads; bound by memory. Only the gradient of take
// adds: each element of dx goes through the K indices, from L1, and adds what is its own in their order.
#include "common.cuh"

// Rows of `width` elements, which lie so far apart: a part of each row of a larger array, or the other way.
template <typename T>
__global__ void __launch_bounds__(256, 4)
    rows(const T* x, T* y, long long width, long long x_pitch, long long y_pitch, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long row = i / width, column = i - row * width;
    y[row * y_pitch + column] = x[row * x_pitch + column];
  }
}

template <typename T, typename U>
__global__ void __launch_bounds__(256, 4) convert(const T* x, U* y, long long n) {
  for (long long i = first(); i < n; i += stride()) y[i] = U(x[i]);
}

template <typename T>
__device__ T nothing() { return T(-1); }
template <>
__device__ inline float nothing<float>() { return not_a_number<float>(); }
template <>
__device__ inline double nothing<double>() { return not_a_number<double>(); }

// x (outer, length, inner), indices (K,), y (outer, K, inner). An index below 0 counts from the end; one that names
// nothing gives NaN, and -1 in whole numbers.
template <typename T, typename I>
__global__ void __launch_bounds__(256, 4)
    take(const T* x, const I* indices, T* y, long long length, long long inner, long long K, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long row = i / inner, o = row / K, k = indices[row - o * K], at = k < 0 ? k + length : k;
    if (at >= 0 && at < length) y[i] = x[(o * length + at) * inner + (i - row * inner)];
    else y[i] = nothing<T>();
  }
}

template <typename T, typename I>
__global__ void __launch_bounds__(256, 4)
    take_back(const T* dy, const I* indices, T* dx, long long length, long long inner, int K, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long row = i / inner, o = row / length, at = row - o * length;
    const T* from = dy + o * K * inner + (i - row * inner);
    T sum = T(0);
    for (int k = 0; k < K; ++k) {
      const long long taken = indices[k];
      if (taken == at || taken + length == at) sum += from[k * inner];
    }
    dx[i] = sum;
  }
}

// Along each of four axes of n elements, `count` are taken from the start in steps.
struct Slices {
  int n[4], start[4], step[4], count[4];
};

template <typename T>
__global__ void __launch_bounds__(256, 4) index_back(const T* dy, T* dx, Slices s, int n) {
  for (long long i = first(); i < n; i += stride()) {
    int rest = int(i), from = 0, pitch = 1;
    bool taken = true;
#pragma unroll
    for (int k = 3; k >= 0; --k) {
      const int before = rest / s.n[k], far = rest - before * s.n[k] - s.start[k], at = far / s.step[k];
      taken = taken && at * s.step[k] == far && at >= 0 && at < s.count[k];
      from += at * pitch, pitch *= s.count[k];
      rest = before;
    }
    dx[i] = taken ? dy[from] : T(0);
  }
}
