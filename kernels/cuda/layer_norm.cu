// Layer normalisation of the rows of x (R, C): one launch forward, two backward.
//
// A row is the work of a team: one warp, or a block of 512 threads where C is large. forward reads it from memory once,
// for its mean, and finds it in L1 or L2 for the variance and the result: 8 bytes an element in float32. `sums` goes
// down the columns for dgamma and dbeta, a part of the rows a block; `back` does the rows for dx, and its first blocks
// put the parts together: 20 bytes an element, of which x and dy come from L2 the second time where they fit. Bound by
// memory. The mean is taken relative to the first of a row: one far from 0 costs no digits.
#include "columns.cuh"

template <int TEAM>
__device__ long long first_row() { return (long long)blockIdx.x * (THREADS / TEAM) + threadIdx.x / TEAM; }
template <int TEAM>
__device__ long long next_row() { return (long long)gridDim.x * (THREADS / TEAM); }

// gamma, beta: null for 1 and 0.
template <typename T, int TEAM>
__global__ void __launch_bounds__(THREADS, 2)
    forward(const T* x, const T* gamma, const T* beta, T eps, T* mean, T* rstd, T* y, long long R, int C) {
  const int lane = threadIdx.x % TEAM;
  for (long long r = first_row<TEAM>(); r < R; r += next_row<TEAM>()) {
    const T *in = x + r * C, base = in[0];
    T total = T(0), spread = T(0);
    for (int c = lane; c < C; c += TEAM) total += in[c] - base;
    const T middle = base + team_reduce<TEAM>(total, T(0), Plus()) / T(C);
    for (int c = lane; c < C; c += TEAM) spread += (in[c] - middle) * (in[c] - middle);
    const T factor = T(1) / sqrt(team_reduce<TEAM>(spread, T(0), Plus()) / T(C) + eps);
    if (lane == 0) mean[r] = middle, rstd[r] = factor;
    for (int c = lane; c < C; c += TEAM) {
      const T h = (in[c] - middle) * factor, scaled = gamma == nullptr ? h : gamma[c] * h;
      y[r * C + c] = beta == nullptr ? scaled : scaled + beta[c];
    }
  }
}

// Each if it is wanted.
template <typename T>
__device__ void write(const Tile& t, const Sums<T>& all, T* dgamma, T* dbeta) {
  if (t.lane != 0 || !t.here) return;
  if (dgamma != nullptr) dgamma[t.c] = all.slanted;
  if (dbeta != nullptr) dbeta[t.c] = all.plain;
}

// plains, slants (parts, C): of dy, and of dy h, h = (x - mean) rstd; with one part, dgamma and dbeta at once.
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
    sums(const T* x, const T* dy, const T* mean, const T* rstd, T* plains, T* slants, T* dgamma, T* dbeta, long long R,
         int C, int width) {
  const Tile t(C, width);
  const int part = blockIdx.y, parts = gridDim.y;
  const long long r1 = share(R, part + 1, parts);
  Sums<T> all{T(0), T(0)};
#pragma unroll 4
  for (long long r = share(R, part, parts) + t.lane; r < r1; r += t.lanes) {
    const T d = dy[r * C + t.c];
    all.plain += d, all.slanted += d * ((x[r * C + t.c] - mean[r]) * rstd[r]);
  }
  all = fold(all, width, Add());
  if (parts == 1) write(t, all, dgamma, dbeta);
  else if (t.lane == 0 && t.here) plains[part * C + t.c] = all.plain, slants[part * C + t.c] = all.slanted;
}

// dx = rstd (dh - mean of dh - h mean of dh h), dh = gamma dy. The first `tiles` blocks have columns too.
template <typename T, int TEAM>
__global__ void __launch_bounds__(THREADS, 2)
    back(const T* x, const T* dy, const T* gamma, const T* mean, const T* rstd, const T* plains, const T* slants,
         int parts, T* dx, T* dgamma, T* dbeta, long long R, int C, int width, int tiles) {
  if (blockIdx.x < tiles) {
    const Tile t(C, width);
    write(t, fold(parts_of(plains, slants, parts, C, t), width, Add()), dgamma, dbeta);
  }
  if (dx == nullptr) return;
  const int lane = threadIdx.x % TEAM;
  for (long long r = first_row<TEAM>(); r < R; r += next_row<TEAM>()) {
    const T *in = x + r * C, *d = dy + r * C, middle = mean[r], factor = rstd[r];
    T plain = T(0), slanted = T(0);
    for (int c = lane; c < C; c += TEAM) {
      const T dh = gamma == nullptr ? d[c] : gamma[c] * d[c];
      plain += dh, slanted += dh * ((in[c] - middle) * factor);
    }
    plain = team_reduce<TEAM>(plain, T(0), Plus()) / T(C);
    slanted = team_reduce<TEAM>(slanted, T(0), Plus()) / T(C);
    for (int c = lane; c < C; c += TEAM) {
      const T dh = gamma == nullptr ? d[c] : gamma[c] * d[c];
      dx[r * C + c] = factor * (dh - plain - (in[c] - middle) * factor * slanted);
    }
  }
}
