// Sums, means, largest and smallest over some axes of x, where those are, and gradients.
//
// Reads x once: bound by memory. Axes of one kind (reduced, kept) that lie side by side count as one; there may be two of
// each. A block of 256 threads has `width` results: where the last axis is kept, neighbouring threads have neighbouring
// results; where it is reduced (by_row), neighbouring elements. What they have found is put together in a tree in shared
// memory, so that the order depends on sizes only. Few results of many elements are found in parts, one a gridDim.y,
// which a second launch reduces; positions are not: their values would have to be kept beside them.
//
// The gradient of a largest or smallest element goes in equal shares to those that are as large: `ties` counts them.
#include "reduction.cuh"

template <typename T>
struct Best {
  T value;
  long long at;
};

template <typename T, int CODE>
struct Where {  // the first of the best; NaN is better than all
  using V = Best<T>;
  __device__ static V none() { return {T(0), -1}; }
  __device__ static V of(T x, long long at) { return {x, at}; }
  __device__ static bool better(const V& a, const V& b) {
    if (a.at < 0 || b.at < 0) return b.at < 0 && a.at >= 0;
    const bool nan = a.value != a.value;
    if (nan != (b.value != b.value)) return nan;
    if (nan || a.value == b.value) return a.at < b.at;
    return CODE == ARGMAX ? a.value > b.value : a.value < b.value;
  }
  __device__ static V both(V a, V b) { return better(a, b) ? a : b; }
  __device__ static long long result(V v, T) { return v.at; }
};

// Result o has the elements x[o / k1 * ks0 + o % k1 * ks1 + r / r1 * rs0 + r % r1 * rs1], 0 <= r < R.
struct Elements {
  long long r1, rs0, rs1, k1, ks0, ks1;
  __device__ long long at(long long o, long long r) const {
    return o / k1 * ks0 + o % k1 * ks1 + r / r1 * rs0 + r % r1 * rs1;
  }
};

// V: what is added, and comes out: of whole numbers another type.
template <typename T, int CODE, typename V = T>
__global__ void __launch_bounds__(256, 4) values(const T* x, V* y, Elements e, Shares s, V count) {
  reduce<Rule<V, CODE>>(s, y, count, [=](long long o, long long r) { return V(x[e.at(o, r)]); });
}

template <typename T, int CODE>
__global__ void __launch_bounds__(256, 4) places(const T* x, long long* y, Elements e, Shares s) {
  reduce<Where<T, CODE>>(s, y, T(1), [=](long long o, long long r) { return x[e.at(o, r)]; });
}

template <typename T>
__global__ void __launch_bounds__(256, 4) ties(const T* x, const T* best, T* y, Elements e, Shares s) {
  reduce<Rule<T, SUM>>(s, y, T(1), [=](long long o, long long r) { return T(x[e.at(o, r)] == best[o]); });
}

// Where element i of x has its result: n1, n2, n3 are lengths of axes of x, s0 to s3 strides of the results.
struct Results {
  long long n1, n2, n3, s0, s1, s2, s3;
  __device__ long long at(long long i) const {
    const long long a = i / n3, b = a / n2, c = b / n1;
    return (i - a * n3) * s3 + (a - b * n2) * s2 + (b - c * n1) * s1 + c * s0;
  }
};

template <typename T>
__global__ void __launch_bounds__(256, 4) spread(const T* dy, T* dx, T count, Results to, long long n) {
  for (long long i = first(); i < n; i += stride()) dx[i] = dy[to.at(i)] / count;
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    share(const T* x, const T* best, const T* ties, const T* dy, T* dx, Results to, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long o = to.at(i);
    dx[i] = dy[o] * T(x[i] == best[o]) / ties[o];
  }
}
