// Gradients of two-input arithmetic: dx = the sum of dz df(x, y)/dx over the axes along which x was repeated.
//
// Reads dz and what the derivative takes once, and writes dx once: bound by memory. The walk has the axes of dx first and
// those that are summed after them, whatever their order in dz: element (o, r) of a reduction is number o R + r. Without
// a repeated axis R is 1 and each thread has an element of its own.
#include "broadcast.cuh"
#include "reduction.cuh"

// By x; and by y with x and y exchanged, where it is not of another form.
enum Gradient { SAME, NEGATED, FACTOR, DIVIDEND, DIVISOR, BASE, EXPONENT, LARGER };

template <typename T, int F>
__device__ T slope(T d, T x, T y) {
  if constexpr (F == FACTOR) return d * y;
  else if constexpr (F == DIVIDEND) return d / y;
  else if constexpr (F == DIVISOR) return -d * y / (x * x);
  else if constexpr (F == BASE) return d * y * pow(y == T(0) ? T(1) : x, y - T(1));  // never 0^-1
  else if constexpr (F == EXPONENT) return d * (y == T(0) ? T(0) : pow(y, x) * log(y));
  else return d * (x > y ? T(1) : x == y ? T(0.5) : x < y ? T(0) : not_a_number<T>());
}

template <typename T, int F>
__global__ void __launch_bounds__(256, 4)
    gradient(const T* x, const T* y, const T* dz, T* dx, Walk w, Shares s) {
  reduce<Rule<T, SUM>>(s, dx, T(1), [=](long long o, long long r) {
    const Index at(w, int(o * s.R + r));
    const T d = dz[at.in(w.z)];
    if constexpr (F == SAME) return d;
    else if constexpr (F == NEGATED) return -d;
    else return slope<T, F>(d, x[at.in(w.x)], y[at.in(w.y)]);
  });
}
