// Elementwise arithmetic: y = f(x), dx = dy f'(x), z = f(x, y) with broadcasting, and comparisons.
//
// Reads each input once and writes the output once: 8 bytes an element for one input in float32, 12 for two; bound by
// memory. A broadcast input is walked by strides over four axes (0 where it is repeated), and comes from L1 and L2. The
// output may be the first input: an element is read before it is written, by the same thread. A kernel for each function,
// so that none has the registers of `power`.
#include "broadcast.cuh"
#include "sine.cuh"

enum Unary { NEGATIVE, ABS, EXP, LOG, SQRT, SQUARE, SIGN, SIN, COS };
enum Binary { ADD, SUBTRACT, MULTIPLY, MAXIMUM, MINIMUM, DIVIDE, POWER };
enum Comparison { EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

template <typename T>
__device__ T sign_of(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : x; }  // 0 and NaN stay

template <typename T, int F>
__global__ void __launch_bounds__(256, 4) unary(const T* x, T* y, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const T v = x[i];
    if constexpr (F == NEGATIVE) y[i] = -v;
    else if constexpr (F == ABS) y[i] = fabs(v);
    else if constexpr (F == EXP) y[i] = exp(v);
    else if constexpr (F == LOG) y[i] = log(v);
    else if constexpr (F == SQRT) y[i] = sqrt(v);
    else if constexpr (F == SQUARE) y[i] = v * v;
    else if constexpr (F == SIGN) y[i] = sign_of(v);
    else y[i] = sine(v, F == COS);
  }
}

template <typename T, int F>
__global__ void __launch_bounds__(256, 4) unary_back(const T* x, const T* y, const T* dy, T* dx, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const T d = dy[i];
    if constexpr (F == NEGATIVE) dx[i] = -d;
    else if constexpr (F == ABS) dx[i] = d * sign_of(x[i]);
    else if constexpr (F == EXP) dx[i] = d * y[i];
    else if constexpr (F == LOG) dx[i] = d / x[i];
    else if constexpr (F == SQRT) dx[i] = d * (T(0.5) / y[i]);
    else if constexpr (F == SQUARE) dx[i] = d * (T(2) * x[i]);
    else if constexpr (F == SIGN) dx[i] = d * T(0);
    else dx[i] = d * sine(x[i], F == SIN ? 1 : 2);
  }
}

template <typename T, int F>
__global__ void __launch_bounds__(256, 4) binary(const T* x, const T* y, T* z, Walk w, int n) {
  for (long long i = first(); i < n; i += stride()) {
    const Index at(w, int(i));
    const T a = x[at.in(w.x)], b = y[at.in(w.y)];
    if constexpr (F == ADD) z[i] = a + b;
    else if constexpr (F == SUBTRACT) z[i] = a - b;
    else if constexpr (F == MULTIPLY) z[i] = a * b;
    else if constexpr (F == DIVIDE) z[i] = a / b;
    else if constexpr (F == POWER) z[i] = pow(a, b);
    else if constexpr (F == MAXIMUM) z[i] = a > b || a != a ? a : b;
    else z[i] = a < b || a != a ? a : b;
  }
}

template <typename T, int F>
__global__ void __launch_bounds__(256, 4) compare(const T* x, const T* y, bool* z, Walk w, int n) {
  for (long long i = first(); i < n; i += stride()) {
    const Index at(w, int(i));
    const T a = x[at.in(w.x)], b = y[at.in(w.y)];
    if constexpr (F == EQUAL) z[i] = a == b;
    else if constexpr (F == NOT_EQUAL) z[i] = a != b;
    else if constexpr (F == LESS) z[i] = a < b;
    else if constexpr (F == LESS_EQUAL) z[i] = a <= b;
    else if constexpr (F == GREATER) z[i] = a > b;
    else z[i] = a >= b;
  }
}
