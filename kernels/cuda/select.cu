// Choices, element by element: x held between two bounds and its gradient, and x or y by a condition.
//
// 8, 12 and 13 bytes an element in float32; bound by memory. The output may be the input.
#include "common.cuh"

template <typename T>
__global__ void __launch_bounds__(256, 4) clip(const T* x, T* y, T low, T high, long long n) {
  for (long long i = first(); i < n; i += stride()) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];  // NaN stays
}

template <typename T>
__global__ void __launch_bounds__(256, 4) clip_back(const T* x, const T* dy, T* dx, T low, T high, long long n) {
  for (long long i = first(); i < n; i += stride()) dx[i] = x[i] >= low && x[i] <= high ? dy[i] : T(0);
}

template <typename T>
__global__ void __launch_bounds__(256, 4) where(const bool* chosen, const T* x, const T* y, T* z, long long n) {
  for (long long i = first(); i < n; i += stride()) z[i] = chosen[i] ? x[i] : y[i];
}
