// The product of a step of a recurrent layer: 16 rows, states forward and gradients backward, with a block's weights.
//
// Threads share k, and the sums of the slices are added in order, the same in every variant, so that the bits do not
// depend on the variant: with RESIDENT weights, put into shared memory once for all steps, or read in every step.
//
// Here on CUDA cores (on tensor cores: recurrent_tensor.cuh): either side lies in shared memory, as [k][row] and
// [k][column], so that a thread reads 4 rows and up to 4 columns at once.
#pragma once
#include "mma.cuh"

constexpr int ROWS = 16, WARPS = THREADS / 32;

__device__ inline int whole(int n) { return (n + ROWS - 1) / ROWS * ROWS; }

// from[k .. k + 3]; zeros from K on, and where there is no row.
template <typename T>
__device__ Pack<T> quad(const T* from, int k, int K) {
  Pack<T> q = {};
  const T* at = from + k;
  if (from && k + 4 <= K && aligned(at)) return *reinterpret_cast<const Pack<T>*>(at);
  for (int j = 0; from && j < 4; ++j) q.v[j] = k + j < K ? at[j] : T(0);
  return q;
}

// s[k - k0][row] = from[k] for the row of this thread; from: null for zeros.
template <typename T>
__device__ void stage_rows(T* s, const T* from, int k0, int depth, int K) {
  for (int i = threadIdx.x / ROWS * 4; i < depth; i += THREADS / ROWS * 4) {
    const Pack<T> q = quad(from, k0 + i, K);
    for (int j = 0; j < 4; ++j) s[(i + j) * ROWS + threadIdx.x % ROWS] = q.v[j];
  }
}

// The weights u (H, GATES, H) of 16 units from j0 on: forward k are the units before, and there is a column for every
// gate; backward k are gates and units, and a column is a unit.
template <int GATES>
struct Forth {
  static constexpr int EACH = GATES, GROUPS = ROWS, WIDE = GATES, PIECE = 64;
  __device__ static int depth(int H) { return H; }
  __device__ static int padded(int H) { return whole(H); }

  // s[k - k0][unit][gate]
  template <typename T>
  __device__ static void stage(T* s, const T* u, int j0, int k0, int depth, int H) {
    for (int i = threadIdx.x; i < depth * GATES * ROWS; i += THREADS) {
      const int unit = i % ROWS, gate = i / ROWS % GATES, k = i / (ROWS * GATES);
      const bool inside = j0 + unit < H && k0 + k < H;
      s[(k * ROWS + unit) * GATES + gate] = inside ? u[(long long)(k0 + k) * GATES * H + gate * H + j0 + unit] : T(0);
    }
  }
  // Four numbers of a column, [gate][unit], from k on.
  __device__ static Pack<float> column(const float* u, int j0, int i, int k, int H) {
    const int unit = j0 + i % ROWS;
    const float* from = u + (long long)k * GATES * H + i / ROWS * H + unit;
    Pack<float> q;
    for (int j = 0; j < 4; ++j) q.v[j] = unit < H && k + j < H ? from[(long long)j * GATES * H] : 0.0f;
    return q;
  }
};

template <int GATES>
struct Back {
  static constexpr int EACH = 1, GROUPS = 4, WIDE = 4, PIECE = 128;
  __device__ static int depth(int H) { return GATES * H; }
  __device__ static int padded(int H) { return GATES * whole(H); }  // every gate by itself

  template <typename T>
  __device__ static void stage(T* s, const T* u, int j0, int k0, int depth, int H) {
    const int j = j0 + threadIdx.x % ROWS, K = GATES * H;
    stage_rows(s, j < H ? u + (long long)j * K : nullptr, k0, depth, K);
  }
  __device__ static Pack<float> column(const float* u, int j0, int i, int k, int H) {
    const int gate = k / whole(H), unit = j0 + i;
    const bool inside = gate < GATES && unit < H;
    return quad(inside ? u + ((long long)unit * GATES + gate) * H : nullptr, k % whole(H), H);
  }
};

// What a step hands to the next, where it is rounded: CUDA cores read the results themselves.
template <typename F, bool = Format<F>::TENSOR>
struct Handed {
  __device__ Handed(unsigned*, int, int) {}
  __device__ void put(int, int, int, F) const {}
};
// sums[n][column] of 16 rows n from n0 on; a thread gets those of one row and one unit.
template <typename F, typename Side, bool RESIDENT, bool = Format<F>::TENSOR>
struct Sums {
  static constexpr int GROUPS = Side::GROUPS, W = Side::WIDE, SLICES = THREADS / 4 / GROUPS, COLUMNS = GROUPS * W;
  static constexpr int DEPTH = RESIDENT ? 2048 / sizeof(F) : Side::PIECE;
  static constexpr int ALL = DEPTH * (ROWS + COLUMNS), LAST = SLICES * ROWS * COLUMNS;
  static constexpr int BYTES = (ALL > LAST ? ALL : LAST) * sizeof(F);  // of shared memory, where weights do not stay
  F *room, *weights;
  const F* u;
  int j0, H;

  __device__ Sums(void* room, void* weights, const F* u, int H)
      : room((F*)room), weights(RESIDENT ? (F*)weights : this->room + DEPTH * ROWS), u(u), j0(blockIdx.x * ROWS), H(H) {
    if (RESIDENT) Side::stage(this->weights, u, j0, 0, whole(Side::depth(H)), H);
  }
  __device__ static int row() { return threadIdx.x / ROWS; }
  __device__ static int unit() { return threadIdx.x % ROWS; }

  // from(n): where a row is, or null.
  template <typename From>
  __device__ void multiply(const From& from, const Handed<F>&, int, int n0, F (&out)[Side::EACH]) const {
    const int K = Side::depth(H);
    const F* left = from(n0 + threadIdx.x % ROWS);
    F sums[4][W] = {};
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
      const int depth = K - k0 < DEPTH ? whole(K - k0) : DEPTH;
      __syncthreads();  // everyone has read what was here
      stage_rows(room, left, k0, depth, K);
      if (!RESIDENT) Side::stage(weights, u, j0, k0, depth, H);
      __syncthreads();
      add(RESIDENT ? weights + k0 * COLUMNS : weights, depth, sums);
    }
    collect(sums, out);
  }

  __device__ void add(const F* right, int depth, F (&sums)[4][W]) const {
    const int column = threadIdx.x % GROUPS, row = threadIdx.x / GROUPS % 4;
#pragma unroll 4
    for (int k = threadIdx.x / GROUPS / 4; k < depth; k += SLICES) {
      const Pack<F> a = *reinterpret_cast<const Pack<F>*>(room + k * ROWS + row * 4);
      const Pack<F, W> b = *reinterpret_cast<const Pack<F, W>*>(right + k * COLUMNS + column * W);
      for (int p = 0; p < 4; ++p)
        for (int q = 0; q < W; ++q) sums[p][q] += a.v[p] * b.v[q];
    }
  }
  __device__ void collect(const F (&sums)[4][W], F (&out)[Side::EACH]) const {
    const int column = threadIdx.x % GROUPS, first = threadIdx.x / GROUPS * 4;
    __syncthreads();  // everyone has read what was multiplied
    for (int p = 0; p < 4; ++p)
      for (int q = 0; q < W; ++q) room[(first + p) * COLUMNS + column * W + q] = sums[p][q];
    __syncthreads();
    for (int q = 0; q < Side::EACH; ++q) {
      out[q] = F(0);
      for (int slice = 0; slice < SLICES; ++slice)
        out[q] += room[(slice * ROWS + row()) * COLUMNS + unit() * Side::EACH + q];
    }
  }
};
