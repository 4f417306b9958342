// Group normalisation of x (N, P, C), P positions, in G groups of D = C / G channels: one launch forward, two backward.
//
// A block has one sample, and of it `together` neighbouring groups: as many as 32 channels hold, or one larger one, so
// that a warp reads 128 bytes side by side. forward reads x for the moments and again, from L1 or L2, for y: 8 bytes an
// element in float32. back reads x and dy twice and writes dx: 12; and what the sample gives to dgamma and dbeta, which
// `total` adds up. Bound by memory where there are samples enough for all multiprocessors.
#include "columns.cuh"

struct Unit {
  int n, first, columns, group, c, lane, lanes;  // sample; first channel and their number; a thread's group and column
  __device__ Unit(int G, int D, int together, int width) {
    const int units = (G + together - 1) / together, g = blockIdx.x % units * together;
    n = blockIdx.x / units, first = g * D, columns = min(together, G - g) * D;
    c = threadIdx.x % width, lane = threadIdx.x / width, lanes = THREADS / width;
    group = g + min(c, columns - 1) / D;
  }
  // f over the columns of the thread's group, of which each has a value in all of its lanes
  template <typename V, typename F>
  __device__ V over_group(V value, int D, int width, F f) const {
    __shared__ V of[32];
    if (lane == 0) of[c] = value;
    __syncthreads();
    const int begin = min(c, columns - 1) / D * D;
    V all = of[begin];
    for (int k = begin + 1; k < min(begin + D, width); ++k) all = f(all, of[k]);
    return all;
  }
};

// Blocks that a multiprocessor must have room for: in float64 there are not registers enough for two.
template <typename T>
constexpr int RESIDENT = sizeof(T) == 4 ? 2 : 1;

template <typename T>
__global__ void __launch_bounds__(THREADS, RESIDENT<T>)
    forward(const T* x, const T* gamma, const T* beta, T eps, T* mean, T* rstd, T* y, int P, int G, int D, int together,
            int width) {
  const Unit u(G, D, together, width);
  const int C = G * D;
  const long long start = (long long)u.n * P * C + u.first;
  Moments<T> all{T(0), T(0), 0};
  for (int c = u.c; c < u.columns; c += width)
    all = Merge()(all, moments_of(x + start + c, C, u.lane, u.lanes, 0, P));
  all = u.over_group(fold(all, width, Merge()), D, width, Merge());
  const T factor = T(1) / sqrt(all.spread / T(all.rows) + eps);
  const int group = u.n * G + u.group;
  if (u.lane == 0 && u.c < u.columns && u.c % D == 0) mean[group] = all.mean, rstd[group] = factor;
  for (int c = u.c; c < u.columns; c += width) {
    const T a = gamma[u.first + c] * factor, b = beta[u.first + c];
    for (int p = u.lane; p < P; p += u.lanes) {
      const long long at = start + (long long)p * C + c;
      y[at] = (x[at] - all.mean) * a + b;
    }
  }
}

// plains, slants (N, C): the sums of dy and of dy h over the positions, h = (x - mean) rstd.
// dx = rstd (dh - mean of dh - h mean of dh h), dh = gamma dy, means over the group.
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    back(const T* x, const T* dy, const T* gamma, const T* mean, const T* rstd, T* plains, T* slants, T* dx, int P, int G,
         int D, int together, int width) {
  const Unit u(G, D, together, width);
  const int C = G * D;
  const long long start = (long long)u.n * P * C + u.first;
  const T middle = mean[u.n * G + u.group], factor = rstd[u.n * G + u.group];
  Sums<T> group{T(0), T(0)};
  for (int first = 0; first < u.columns; first += width) {  // all threads together
    const int c = first + u.c;
    Sums<T> all{T(0), T(0)};
    for (int p = c < u.columns ? u.lane : P; p < P; p += u.lanes) {
      const long long at = start + (long long)p * C + c;
      all.plain += dy[at], all.slanted += dy[at] * ((x[at] - middle) * factor);
    }
    all = fold(all, width, Add());
    if (c >= u.columns) continue;
    const T a = gamma[u.first + c];
    group.plain += a * all.plain, group.slanted += a * all.slanted;
    const long long at = (long long)u.n * C + u.first + c;
    if (u.lane == 0) plains[at] = all.plain, slants[at] = all.slanted;
  }
  if (dx == nullptr) return;
  group = u.over_group(group, D, width, Add());
  const T b = group.plain / T((long long)P * D), slope = group.slanted / T((long long)P * D) * factor;
  for (int c = u.c; c < u.columns; c += width) {
    const T a = gamma[u.first + c];
    for (int p = u.lane; p < P; p += u.lanes) {
      const long long at = start + (long long)p * C + c;
      dx[at] = factor * (a * dy[at] - b - (x[at] - middle) * slope);
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    total(const T* plains, const T* slants, T* dgamma, T* dbeta, int N, int C, int width) {
  const Tile t(C, width);
  const Sums<T> all = fold(parts_of(plains, slants, N, C, t), width, Add());
  if (t.lane != 0 || !t.here) return;
  if (dgamma != nullptr) dgamma[t.c] = all.slanted;
  if (dbeta != nullptr) dbeta[t.c] = all.plain;
}
