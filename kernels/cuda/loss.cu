// Pointwise losses l(y, t) and their derivatives, by code.
//
//   sums     out[r] = scale * the sum of l over row r, of which a block does a part; reads 8 bytes an element in float32
//   values   out[i] = scale * l of one element
//   back     dy[i] = scale * dout[i / each] * dl/dy; reads y and t again, as saving the slope would move more: 12 bytes
//
// Bound by memory. Sums are kept in float64 and rounded once. A target that a formula does not mean gives NaN.
#include "common.cuh"

enum Loss { SQUARES, LOGISTIC, PERCEPTRON, DISTANCE, HUBER };

template <typename T>
__device__ T value(int code, T delta, T y, T t) {
  switch (code) {
    case SQUARES: return (y - t) * (y - t);
    case LOGISTIC:
      return t >= T(0) && t <= T(1) ? (y < T(0) ? T(0) : y) - y * t + log1p(exp(-fabs(y))) : not_a_number<T>();
    case PERCEPTRON: return t == T(0) ? not_a_number<T>() : -t * y < T(0) ? T(0) : -t * y;
    case DISTANCE: return fabs(y - t);
    default: {
      const T e = fabs(y - t), m = e > delta ? delta : e;
      return m * (e - T(0.5) * m);
    }
  }
}

template <typename T>
__device__ T slope(int code, T delta, T y, T t) {
  const T e = y - t;
  switch (code) {
    case SQUARES: return T(2) * e;
    case LOGISTIC: return t >= T(0) && t <= T(1) ? sigmoid(y) - t : not_a_number<T>();
    case PERCEPTRON: {
      const T margin = t == T(0) ? not_a_number<T>() : t * y;
      return margin <= T(0) ? -t : margin > T(0) ? T(0) : margin;
    }
    case DISTANCE: return e > T(0) ? T(1) : e < T(0) ? T(-1) : e;  // 0 and NaN stay
    default: return e > delta ? delta : e < -delta ? -delta : e;
  }
}

// Block (r, part) of rows of `each` elements; with one part it writes out[r], else its sum for `total`.
template <typename T>
__global__ void __launch_bounds__(256, 4)
    sums(int code, T delta, const T* y, const T* t, long long each, double scale, double* parts, T* out) {
  const long long start = blockIdx.x * each;
  double sum = 0;
  for (long long i = blockIdx.y * 256 + threadIdx.x; i < each; i += gridDim.y * 256)
    sum += value(code, delta, y[start + i], t[start + i]);
  sum = block_reduce<256>(sum, 0.0, Plus());
  if (threadIdx.x != 0) return;
  if (gridDim.y == 1) out[blockIdx.x] = T(sum * scale);
  else parts[blockIdx.y] = sum;
}

template <typename T>
__global__ void __launch_bounds__(256, 4) total(const double* parts, int count, double scale, T* out) {
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += 256) sum += parts[i];
  sum = block_reduce<256>(sum, 0.0, Plus());
  if (threadIdx.x == 0) out[0] = T(sum * scale);
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    values(int code, T delta, const T* y, const T* t, T scale, T* out, long long n) {
  for (long long i = first(); i < n; i += stride()) out[i] = scale * value(code, delta, y[i], t[i]);
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    back(int code, T delta, const T* y, const T* t, T scale, const T* dout, long long each, T* dy, long long n) {
  for (long long i = first(); i < n; i += stride())
    dy[i] = scale * dout[each == n ? 0 : i / each] * slope(code, delta, y[i], t[i]);
}
