// y = f(x) and dx = dy f'(x), element by element.
//
// forward reads x and writes y: 8 bytes an element in float32; backward reads what was kept and dy and writes dx: 12.
// Bound by memory. Arrays may be the same: an element is read before it is written, by the same thread.
// The code is the same for all threads, so that the switch costs a jump.
#include "activation.cuh"

template <typename T>
__global__ void __launch_bounds__(256, 4) forward(const T* x, T* y, int code, T parameter, long long n) {
  for (long long i = first(); i < n; i += stride()) y[i] = activate(code, parameter, x[i]);
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    backward(const T* kept, const T* dy, T* dx, int code, T parameter, long long n) {
  for (long long i = first(); i < n; i += stride()) dx[i] = activate_back(code, parameter, kept[i], dy[i]);
}
