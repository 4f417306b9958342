// Choices, element by element: x held between two bounds and its gradient, x or y by a condition and theirs.
//
// 8, 12 and 13 bytes an element in float32; bound by memory. The output of clip may be the input.
#include "broadcast.cuh"
#include "reduction.cuh"

template <typename T>
__global__ void __launch_bounds__(256, 4) clip(const T* x, T* y, T low, T high, long long n) {
  for (long long i = first(); i < n; i += stride()) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];  // NaN stays
}

template <typename T>
__global__ void __launch_bounds__(256, 4) clip_back(const T* x, const T* dy, T* dx, T low, T high, long long n) {
  for (long long i = first(); i < n; i += stride()) dx[i] = x[i] >= low && x[i] <= high ? dy[i] : T(0);
}

template <typename T>
__global__ void __launch_bounds__(256, 4) where(const bool* chosen, const T* x, const T* y, T* z, Walk w, int n) {
  for (long long i = first(); i < n; i += stride()) {
    const Index at(w, int(i));
    z[i] = chosen[at.in(w.x)] ? x[at.in(w.y)] : y[at.in(w.z)];
  }
}

// The sum of dz where x was chosen, or where it was not, as in arithmetic_gradient.cu.
template <typename T, bool CHOSEN>
__global__ void __launch_bounds__(256, 4) where_back(const bool* chosen, const T* dz, T* dx, Walk w, Shares s) {
  reduce<Rule<T, SUM>>(s, dx, T(1), [=](long long o, long long r) {
    const Index at(w, int(o * s.R + r));
    return chosen[at.in(w.x)] == CHOSEN ? dz[at.in(w.z)] : T(0);
  });
}
