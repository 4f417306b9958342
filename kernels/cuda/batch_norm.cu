// Batch normalisation of x (R, C), column by column: two launches forward, two backward; one where one block has all
// rows of its columns.
//
//   moments    the mean and spread of each column over a part of the rows       reads x
//   line       puts the parts together; y = (x - mean) a + beta, a = gamma rstd   reads x, writes y
//   sums       of dy and dy (x - mean) over a part of the rows                    reads x and dy
//   line_back  puts them together; dx = a dy + slope (x - mean) + b              reads x and dy, writes dx
//
// In float32, 12 bytes an element forward and 20 backward; bound by memory. Every block of line and line_back puts the
// same parts together in the same order, from L2, rather than wait for a launch that does it once.
#include "columns.cuh"

// rstd = 1 / sqrt(var + eps); blocks of the first rows write what is kept.
template <typename T>
__device__ void normalise(const Tile& t, T middle, T variance, const T* x, const T* gamma, const T* beta, T eps, T* mean,
                          T* var, T* kept, T* rstd, T* y, long long R, int C) {
  const T factor = T(1) / sqrt(variance + eps), a = gamma[t.c] * factor, b = beta[t.c];
  if (kept != nullptr && blockIdx.y == 0 && t.lane == 0 && t.here)
    mean[t.c] = kept[t.c] = middle, var[t.c] = variance, rstd[t.c] = factor;
  if (!t.here) return;
  const long long r1 = share(R, blockIdx.y + 1, gridDim.y);
  for (long long r = share(R, blockIdx.y, gridDim.y) + t.lane; r < r1; r += t.lanes)
    y[r * C + t.c] = (x[r * C + t.c] - middle) * a + b;
}

// means, spreads (parts, C); with one part, y at once.
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    moments(const T* x, const T* gamma, const T* beta, T eps, T* means, T* spreads, T* mean, T* var, T* kept, T* rstd,
            T* y, long long R, int C, int width) {
  const Tile t(C, width);
  const int part = blockIdx.y, parts = gridDim.y;
  const long long r0 = share(R, part, parts), r1 = share(R, part + 1, parts);
  const auto all = fold(moments_of(x + t.c, C, t.lane, t.lanes, r0, r1), width, Merge());
  if (parts == 1)
    normalise(t, all.mean, all.spread / T(R), x, gamma, beta, eps, mean, var, kept, rstd, y, R, C);
  else if (t.lane == 0 && t.here)
    means[part * C + t.c] = all.mean, spreads[part * C + t.c] = all.spread;
}

// No parts: mean and var are given, and nothing is kept.
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    line(const T* x, const T* gamma, const T* beta, T eps, const T* means, const T* spreads, int parts, T* mean, T* var,
         T* kept, T* rstd, T* y, long long R, int C, int width) {
  const Tile t(C, width);
  if (parts == 0) return normalise(t, mean[t.c], var[t.c], x, gamma, beta, eps, mean, var, kept, rstd, y, R, C);
  Moments<T> all{T(0), T(0), 0};
  for (int p = t.lane; p < parts; p += t.lanes)
    all = Merge()(all, Moments<T>{means[p * C + t.c], spreads[p * C + t.c], share(R, p + 1, parts) - share(R, p, parts)});
  all = fold(all, width, Merge());
  normalise(t, all.mean, all.spread / T(R), x, gamma, beta, eps, mean, var, kept, rstd, y, R, C);
}

// dx, dgamma and dbeta, each if it is wanted. dmean null: mean and var were given, and are constants.
template <typename T>
__device__ void give_back(const Tile& t, const Sums<T>& all, const T* x, const T* dy, const T* gamma, const T* mean,
                          T factor, const T* dmean, const T* dvar, T* dx, T* dgamma, T* dbeta, long long R, int C) {
  const T a = gamma[t.c] * factor, inner = all.slanted * factor, middle = mean[t.c];
  if (blockIdx.y == 0 && t.lane == 0 && t.here) {
    if (dgamma != nullptr) dgamma[t.c] = inner;
    if (dbeta != nullptr) dbeta[t.c] = all.plain;
  }
  if (dx == nullptr || !t.here) return;
  T b = T(0), slope = T(0);
  if (dmean != nullptr)
    b = (dmean[t.c] - a * all.plain) / T(R), slope = (T(2) * dvar[t.c] - a * factor * inner) / T(R);
  const long long r1 = share(R, blockIdx.y + 1, gridDim.y);
  for (long long r = share(R, blockIdx.y, gridDim.y) + t.lane; r < r1; r += t.lanes) {
    const T d = dy[r * C + t.c] * a;
    dx[r * C + t.c] = dmean == nullptr ? d : d + ((x[r * C + t.c] - middle) * slope + b);
  }
}

// 1 / sqrt(var + eps), as it was kept or from the variance that was given.
template <typename T>
__device__ T factor_of(const Tile& t, const T* rstd, const T* var, T eps) {
  return rstd != nullptr ? rstd[t.c] : T(1) / sqrt(var[t.c] + eps);
}

// plains, slants (parts, C); with one part, the gradients at once.
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    sums(const T* x, const T* dy, const T* gamma, const T* mean, const T* rstd, const T* var, T eps, const T* dmean,
         const T* dvar, T* plains, T* slants, T* dx, T* dgamma, T* dbeta, long long R, int C, int width) {
  const Tile t(C, width);
  const int part = blockIdx.y, parts = gridDim.y;
  const long long r1 = share(R, part + 1, parts);
  const T middle = mean[t.c];
  Sums<T> all{T(0), T(0)};
#pragma unroll 4
  for (long long r = share(R, part, parts) + t.lane; r < r1; r += t.lanes) {
    const T d = dy[r * C + t.c];
    all.plain += d, all.slanted += d * (x[r * C + t.c] - middle);
  }
  all = fold(all, width, Add());
  if (parts == 1)
    give_back(t, all, x, dy, gamma, mean, factor_of(t, rstd, var, eps), dmean, dvar, dx, dgamma, dbeta, R, C);
  else if (t.lane == 0 && t.here)
    plains[part * C + t.c] = all.plain, slants[part * C + t.c] = all.slanted;
}

// No parts: only dx is wanted, of mean and var that were given.
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    line_back(const T* x, const T* dy, const T* gamma, const T* mean, const T* rstd, const T* var, T eps, const T* dmean,
              const T* dvar, const T* plains, const T* slants, int parts, T* dx, T* dgamma, T* dbeta, long long R, int C,
              int width) {
  const Tile t(C, width);
  const Sums<T> all = fold(parts_of(plains, slants, parts, C, t), width, Add());
  give_back(t, all, x, dy, gamma, mean, factor_of(t, rstd, var, eps), dmean, dvar, dx, dgamma, dbeta, R, C);
}

// old + rate (factor new - old); out may be old.
template <typename T>
__global__ void __launch_bounds__(256, 4) average(const T* old, const T* now, T* out, T rate, T factor, long long n) {
  for (long long i = first(); i < n; i += stride()) out[i] = old[i] + rate * (factor * now[i] - old[i]);
}
