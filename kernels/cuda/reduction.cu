// Sums, means, largest and smallest over some axes of x, and where those are.
//
// Reads x once: bound by memory. Axes of one kind (reduced, kept) that lie side by side count as one; there may be two of
// each. A block of 256 threads has `width` results: where the last axis is kept, neighbouring threads have neighbouring
// results; where it is reduced (by_row), neighbouring elements. What they have found is put together in a tree in shared
// memory, so that the order depends on sizes only. Few results of many elements are found in parts, one a gridDim.y,
// which a second launch reduces.
#include "common.cuh"

enum Code { SUM, MAX, MIN, ARGMAX, ARGMIN };

template <typename T>
struct Best {
  T value;
  long long at;
};

template <typename T, int CODE>
struct Rule {
  using V = T;
  __device__ static V none() { return CODE == SUM ? T(0) : CODE == MAX ? -infinity<T>() : infinity<T>(); }
  __device__ static V of(T x, long long) { return x; }
  __device__ static V both(V a, V b) {  // NaN stays
    if constexpr (CODE == SUM) return a + b;
    else if constexpr (CODE == MAX) return b > a || b != b ? b : a;
    else return b < a || b != b ? b : a;
  }
  __device__ static T result(V v, T count) { return v / count; }
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
template <typename F, typename T, typename Y>
__device__ void reduce(const T* x, Y* y, long long R, long long r1, long long rs0, long long rs1, long long n,
                       long long k1, long long ks0, long long ks1, bool by_row, int width, T count) {
  __shared__ typename F::V all[256];
  const int t = threadIdx.x, lanes = 256 / width;
  const int mine = by_row ? t / lanes : t % width, lane = by_row ? t % lanes : t / width;
  const long long o = (long long)blockIdx.x * width + mine, end = R * (blockIdx.y + 1) / gridDim.y;
  const T* in = x + o / k1 * ks0 + o % k1 * ks1;
  typename F::V v = F::none();
  for (long long r = R * blockIdx.y / gridDim.y + lane; o < n && r < end; r += lanes)
    v = F::both(v, F::of(in[r / r1 * rs0 + r % r1 * rs1], r));
  all[lane * width + mine] = v;
  __syncthreads();
  for (int s = 128; s >= width; s /= 2) {
    if (t < s) all[t] = F::both(all[t], all[t + s]);
    __syncthreads();
  }
  if (lane == 0 && o < n) y[blockIdx.y * n + o] = F::result(all[mine], gridDim.y == 1 ? count : T(1));
}

template <typename T, int CODE>
__global__ void __launch_bounds__(256, 4)
    values(const T* x, T* y, long long R, long long r1, long long rs0, long long rs1, long long n, long long k1,
           long long ks0, long long ks1, bool by_row, int width, T count) {
  reduce<Rule<T, CODE>>(x, y, R, r1, rs0, rs1, n, k1, ks0, ks1, by_row, width, count);
}

template <typename T, int CODE>
__global__ void __launch_bounds__(256, 4)
    places(const T* x, long long* y, long long R, long long r1, long long rs0, long long rs1, long long n, long long k1,
           long long ks0, long long ks1, bool by_row, int width, T count) {
  reduce<Where<T, CODE>>(x, y, R, r1, rs0, rs1, n, k1, ks0, ks1, by_row, width, count);
}

// dx = dy / count, at every element of x that went into it: n1, n2, n3 are lengths of axes of x, s0 to s3 strides in dy.
template <typename T>
__global__ void __launch_bounds__(256, 4)
    spread(const T* dy, T* dx, T count, long long n1, long long n2, long long n3, long long s0, long long s1,
           long long s2, long long s3, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long a = i / n3, b = a / n2, c = b / n1;
    dx[i] = dy[(i - a * n3) * s3 + (a - b * n2) * s2 + (b - c * n1) * s1 + c * s0] / count;
  }
}
