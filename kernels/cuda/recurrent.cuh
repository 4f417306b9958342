// One step of a recurrent layer: a product with the recurrent weights, and the gates where its sums are.
//
// A block has 16 units of 16 sequences (more, one after another, where the grid is short of blocks) and 256 threads.
// The product's left side, states forward and gradients backward, lies in shared memory as [k][row], its right side, the
// weights, as [k][column], so that a thread reads 4 rows and up to 4 columns at once. Threads share k: thread groups sum
// up k = p, p + SLICES, ... and the sums of the groups are added in order, the same in every variant, so that the
// bits do not depend on the variant: with RESIDENT weights, put there once for all steps, or brought piece by piece.
//
// Steps are numbered as they are taken; `row` says where a step's numbers are, if the sequence has such a step. What lies
// beyond is neither read nor multiplied.
#pragma once
#include "small_tile.cuh"
#include "tile.cuh"

constexpr int ROWS = 16;

template <typename T>
struct Layer {
  const int* lengths;  // or null
  int N, steps, H, reverse;
  const T *u, *h0, *c0;
  T *y, *gates, *saved;

  // Of step s of sequence n in (N, steps): -1 where it has none.
  __device__ long long row(int n, int s) const {
    if (n >= N) return -1;
    const int t = reverse ? steps - 1 - s : s, length = lengths ? lengths[n] : steps;
    return t >= 0 && t < length ? (long long)n * steps + t : -1;
  }
  __device__ long long padding(int n, int s) const { return (long long)n * steps + (reverse ? steps - 1 - s : s); }
};

template <typename T>
struct Ends {  // forward: states after the last step; backward: their gradients, and those of the first states
  T *h, *c;
};

// s[k - k0][row] = from[k] for the row of this thread; from: null for zeros.
template <typename T>
__device__ void stage_rows(T* s, const T* from, int k0, int depth, int K) {
  for (int i = threadIdx.x / ROWS * 4; i < depth; i += THREADS / ROWS * 4) {
    Quad<T> q = {};
    const T* at = from + k0 + i;
    if (from && k0 + i + 4 <= K && (size_t)at % 16 == 0) q = *reinterpret_cast<const Quad<T>*>(at);
    else if (from)
      for (int j = 0; j < 4; ++j) q.v[j] = k0 + i + j < K ? at[j] : T(0);
    for (int j = 0; j < 4; ++j) s[(i + j) * ROWS + threadIdx.x % ROWS] = q.v[j];
  }
}

// s[k - k0][unit][gate] = u[k][gate][j0 + unit]
template <int GATES, typename T>
__device__ void stage_gates(T* s, const T* u, int j0, int k0, int depth, int H) {
  for (int i = threadIdx.x; i < depth * GATES * ROWS; i += THREADS) {
    const int unit = i % ROWS, gate = i / ROWS % GATES, k = i / (ROWS * GATES);
    const bool inside = j0 + unit < H && k0 + k < H;
    s[(k * ROWS + unit) * GATES + gate] = inside ? u[(long long)(k0 + k) * GATES * H + gate * H + j0 + unit] : T(0);
  }
}

// GROUPS threads beside one another have W columns each.
template <int GROUPS, int W>
struct Strip {
  static constexpr int SLICES = THREADS / 4 / GROUPS, COLUMNS = GROUPS * W;

  template <typename T>
  __device__ static void add(const T* left, const T* right, int depth, T (&sums)[4][W]) {
    const int column = threadIdx.x % GROUPS, row = threadIdx.x / GROUPS % 4;
#pragma unroll 4
    for (int k = threadIdx.x / GROUPS / 4; k < depth; k += SLICES) {
      const Quad<T> a = *reinterpret_cast<const Quad<T>*>(left + k * ROWS + row * 4);
      const Pack<T, W> b = *reinterpret_cast<const Pack<T, W>*>(right + k * COLUMNS + column * W);
      for (int p = 0; p < 4; ++p)
        for (int q = 0; q < W; ++q) sums[p][q] += a.v[p] * b.v[q];
    }
  }

  // out = the sums of row threadIdx.x / 16, columns from threadIdx.x % 16 * EACH on; room: SLICES x ROWS x COLUMNS
  template <int EACH, typename T>
  __device__ static void collect(T* room, const T (&sums)[4][W], T (&out)[EACH]) {
    const int column = threadIdx.x % GROUPS, first = threadIdx.x / GROUPS * 4;
    __syncthreads();  // everyone has read what was multiplied
    for (int p = 0; p < 4; ++p)
      for (int q = 0; q < W; ++q) room[(first + p) * COLUMNS + column * W + q] = sums[p][q];
    __syncthreads();
    for (int q = 0; q < EACH; ++q) {
      out[q] = T(0);
      for (int slice = 0; slice < SLICES; ++slice)
        out[q] += room[(slice * ROWS + threadIdx.x / ROWS) * COLUMNS + threadIdx.x % ROWS * EACH + q];
    }
  }
};

__device__ inline int whole(int n) { return (n + ROWS - 1) / ROWS * ROWS; }

template <typename Cell, bool RESIDENT, int DEPTH, typename T>
__device__ void forward_step(const Layer<T>& q, const T* bias, const Ends<T>& end, int s, T* room, T* weights) {
  constexpr int G = Cell::GATES;
  using Sums = Strip<ROWS, G>;
  const int H = q.H, j0 = blockIdx.x * ROWS, j = j0 + threadIdx.x % ROWS;
  for (int n0 = blockIdx.y * ROWS; n0 < q.N; n0 += gridDim.y * ROWS) {
    const int n = n0 + threadIdx.x / ROWS, other = n0 + threadIdx.x % ROWS;
    const bool mine = n < q.N && j < H;
    const long long now = mine ? q.row(n, s) : -1, before = q.row(n, s - 1), at = q.row(other, s - 1);
    const T* from = q.row(other, s) < 0 ? nullptr : at < 0 ? q.h0 + (long long)other * H : q.y + at * H;
    T z[G], p[G], sums[4][G] = {};
    for (int g = 0; g < G; ++g) z[g] = now < 0 ? T(0) : q.gates[(now * G + g) * H + j];
    for (int k0 = 0; k0 < H; k0 += DEPTH) {
      const int depth = H - k0 < DEPTH ? whole(H - k0) : DEPTH;
      __syncthreads();  // everyone has read what was here
      stage_rows(room, from, k0, depth, H);
      if (!RESIDENT) stage_gates<G>(weights, q.u, j0, k0, depth, H);
      __syncthreads();
      Sums::add(room, RESIDENT ? weights + k0 * Sums::COLUMNS : weights, depth, sums);
    }
    Sums::collect(room, sums, p);
    if (!mine) continue;
    const long long state = (long long)n * H + j;
    if (now < 0) q.y[q.padding(n, s) * H + j] = T(0);
    else {
      const T h = before < 0 ? q.h0[state] : q.y[before * H + j];
      T c = Cell::HIDDEN_BIAS ? bias[j] : T(0), saved;
      if (Cell::CELL) c = before < 0 ? q.c0[state] : q.saved[before * H + j];
      const T out = Cell::forward(z, p, h, c, saved);
      for (int g = 0; g < G; ++g) q.gates[(now * G + g) * H + j] = z[g];
      if (q.saved) q.saved[now * H + j] = saved;
      q.y[now * H + j] = out;
      if (q.row(n, s + 1) < 0) {
        end.h[state] = out;
        if (Cell::CELL) end.c[state] = saved;
      }
    }
    if (s == 0 && q.lengths && q.lengths[n] == 0) {
      end.h[state] = q.h0[state];
      if (Cell::CELL) end.c[state] = q.c0[state];
    }
  }
}

// From the last step to the first; step -1 leaves the gradients of the initial states.
// dz, dp (N, steps, GATES, H): the gradients of the sums by x and by h, one array where they are the same; carry (N, H).
template <typename Cell, bool RESIDENT, int DEPTH, typename T>
__device__ void backward_step(const Layer<T>& q, const T* dy, const Ends<const T>& dend, T* dz, T* dp, T* carry,
                              const Ends<T>& dfirst, int s, T* room, T* weights) {
  constexpr int G = Cell::GATES;
  using Sums = Strip<4, 4>;
  const int H = q.H, K = G * H, j0 = blockIdx.x * ROWS, j = j0 + threadIdx.x % ROWS;
  const T* columns = j < H ? q.u + (long long)j * K : nullptr;
  for (int n0 = blockIdx.y * ROWS; n0 < q.N; n0 += gridDim.y * ROWS) {
    const int n = n0 + threadIdx.x / ROWS;
    const long long now = q.row(n, s), after = q.row(n, s + 1), at = q.row(n0 + threadIdx.x % ROWS, s + 1);
    T p[1] = {}, sums[4][4] = {};
    if (s + 1 < q.steps) {
      for (int k0 = 0; k0 < K; k0 += DEPTH) {
        const int depth = K - k0 < DEPTH ? whole(K - k0) : DEPTH;
        __syncthreads();  // everyone has read what was here
        stage_rows(room, at < 0 ? nullptr : dp + at * K, k0, depth, K);
        if (!RESIDENT) stage_rows(weights, columns, k0, depth, K);
        __syncthreads();
        Sums::add(room, RESIDENT ? weights + k0 * Sums::COLUMNS : weights, depth, sums);
      }
      Sums::collect(room, sums, p);
    }
    if (n >= q.N || j >= H) continue;
    const long long state = (long long)n * H + j;
    T dh = after < 0 ? dend.h[state] : p[0], dc = T(0);
    if (after < 0) { if (Cell::CELL) dc = dend.c[state]; }
    else if (carry) dc = carry[state];
    if (now >= 0) {
      const long long before = q.row(n, s - 1), first = now * K + j;
      T gates[G], out[G], out_h[G], c = T(0);
      for (int g = 0; g < G; ++g) gates[g] = q.gates[first + g * H];
      if (Cell::CELL) c = before < 0 ? q.c0[state] : q.saved[before * H + j];
      const T h = before < 0 ? q.h0[state] : q.y[before * H + j];
      Cell::backward(gates, q.saved ? q.saved[now * H + j] : T(0), h, c, dh + dy[now * H + j], dc, out, out_h);
      for (int g = 0; g < G; ++g) {
        dz[first + g * H] = out[g];
        if (Cell::HIDDEN_BIAS) dp[first + g * H] = out_h[g];
      }
      if (carry) carry[state] = dc;
      continue;
    }
    if (s >= 0)
      for (int g = 0; g < G; ++g) dz[q.padding(n, s) * K + g * H + j] = dp[q.padding(n, s) * K + g * H + j] = T(0);
    if (after < 0 && !(s < 0 && q.lengths && q.lengths[n] == 0)) continue;
    if (dfirst.h) dfirst.h[state] = Cell::CELL ? dh : dh + dc;
    if (Cell::CELL && dfirst.c) dfirst.c[state] = dc;
  }
}
