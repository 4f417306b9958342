// Matrix products by tiles: the loop over K that the kernels of matmul, dense and others share.
//
//   +--------- N ---------+    A block of 256 threads makes SIDE x SIDE of out. In each step all of them fetch
//   M   out = A B         |    SLICES x DEPTH of K from A and B, one step ahead, in registers; from shared memory a
//   +---------------------+    thread then adds up EACH x EACH sums, of its slice of K.
//
// A number of A is read N / SIDE times from L2, and SIDE / EACH times from shared memory for EACH x EACH sums: a large tile
// reads less; a small one makes many blocks of few results, in which four slices of threads share K. Sums go slice by
// slice, so that the order depends on sizes only. What multiplies is one class: Fma on CUDA cores.
#pragma once
#include "common.cuh"

template <typename T, int SIDE>
struct Tile;
template <typename T>
struct Tile<T, 16> { static constexpr int DEPTH = 128 / sizeof(T), EACH = 2, SLICES = 4; };
template <typename T>
struct Tile<T, 32> { static constexpr int DEPTH = 32 / sizeof(T), EACH = 4, SLICES = 4; };
template <typename T>
struct Tile<T, 64> { static constexpr int DEPTH = 64 / sizeof(T), EACH = 4, SLICES = 1; };
template <typename T>
struct Tile<T, 128> { static constexpr int DEPTH = 32 / sizeof(T), EACH = 8, SLICES = 1; };

// What a tile of either operand takes of shared memory, as [k][row of A or column of B]. A row more would put all k of
// one column on the same banks; a whole group of numbers more keeps the groups aligned.
template <typename T, int SIDE>
struct Stage {
  static constexpr int DEPTH = Tile<T, SIDE>::DEPTH * Tile<T, SIDE>::SLICES, GROUP = Tile<T, SIDE>::EACH < 4 ? 2 : 4;
  static constexpr int LOADS = DEPTH * SIDE / 256;
  alignas(16) T a[DEPTH][SIDE + GROUP], b[DEPTH][SIDE + GROUP];
};

template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Group { T at[N]; };

// An element of an operand, by its offset.
template <typename T>
struct Plain {
  const T* x;
  __device__ T operator()(long long i) const { return x[i]; }
};

// A as (row, k) or B as (column, k): `count` of the former, so far apart; then one of ones, if wanted: of A^T, whose
// product with B is the sum over the rows of B.
template <typename Value>
struct Operand {
  Value value;
  long long outer, inner;
  int count;
  bool ones = false;
};

// One step's share of a thread, neighbours by neighbouring threads, from first and k on; 0 beyond the ends.
template <int SIDE, typename T, typename Value, int LOADS>
__device__ void fetch(const Operand<Value>& x, long long offset, int first, int k, int K, T (&into)[LOADS]) {
  constexpr int DEPTH = Stage<T, SIDE>::DEPTH;
  const bool along = x.inner == 1;
  int o = first + (along ? threadIdx.x / DEPTH : threadIdx.x % SIDE);
  k += along ? threadIdx.x % DEPTH : threadIdx.x / SIDE;
  long long at = offset + o * x.outer + k * x.inner;
  const long long step = along ? 256 / DEPTH * x.outer : 256 / SIDE * x.inner;
#pragma unroll
  for (int i = 0; i < LOADS; ++i) {
    into[i] = T(x.ones && o == x.count);
    if (o < x.count && k < K) into[i] = x.value(at);
    o += along ? 256 / DEPTH : 0, k += along ? 0 : 256 / SIDE, at += step;
  }
}

template <int SIDE, typename T, int LOADS, int PITCH>
__device__ void put(const T (&from)[LOADS], bool along, T (*to)[PITCH]) {
  constexpr int DEPTH = Stage<T, SIDE>::DEPTH;
#pragma unroll
  for (int i = 0; i < LOADS; ++i) {
    const int j = threadIdx.x + 256 * i;
    if (along) to[j % DEPTH][j / DEPTH] = from[i];
    else to[j / SIDE][j % SIDE] = from[i];
  }
}

// The sums of a tile on CUDA cores. A thread's rows and columns go by groups that one load brings from shared memory.
template <typename T, int SIDE>
struct Fma {
  using Element = T;
  using Shared = Stage<T, SIDE>;
  static constexpr int EDGE = SIDE, EACH = Tile<T, SIDE>::EACH, GROUP = Shared::GROUP, ACROSS = SIDE / EACH;
  T sums[EACH][EACH] = {};

  __device__ static int column() { return threadIdx.x % ACROSS; }
  __device__ static int row() { return threadIdx.x / ACROSS % ACROSS; }
  __device__ static int slice() { return threadIdx.x / (ACROSS * ACROSS); }
  __device__ static int place(int thread, int i) { return i / GROUP * (ACROSS * GROUP) + thread * GROUP + i % GROUP; }

  __device__ static void read(const T* from, int thread, T (&into)[EACH]) {
#pragma unroll
    for (int i = 0; i < EACH; i += GROUP) {
      const auto group = *reinterpret_cast<const Group<T, GROUP>*>(from + place(thread, i));
#pragma unroll
      for (int j = 0; j < GROUP; ++j) into[i + j] = group.at[j];
    }
  }

  __device__ void add(const Shared& stage) {
    const int first = slice() * Tile<T, SIDE>::DEPTH;
#pragma unroll
    for (int k = 0; k < Tile<T, SIDE>::DEPTH; ++k) {
      T a[EACH], b[EACH];
      read(stage.a[first + k], row(), a);
      read(stage.b[first + k], column(), b);
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) sums[i][j] += a[i] * b[j];
    }
  }

  // f(row, column, sum) of the tile. A row of each thread at a time, which fits where the operands were: neighbours are
  // then written by neighbouring threads, and whatever f does stands in the code once.
  template <typename F>
  __device__ void finish(Shared& stage, F f) {
    static_assert(sizeof(Shared) >= Tile<T, SIDE>::SLICES * ACROSS * SIDE * sizeof(T), "no room for the sums");
    T* parts = &stage.a[0][0];
#pragma unroll 1
    for (int r = 0; r < EACH; ++r) {
      __syncthreads();  // everyone has read what was here
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j)
          if (i == r) parts[(slice() * ACROSS + row()) * SIDE + place(column(), j)] = sums[i][j];
      __syncthreads();
#pragma unroll 1
      for (int i = threadIdx.x; i < ACROSS * SIDE; i += 256) {
        T sum = parts[i];
#pragma unroll
        for (int s = 1; s < Tile<T, SIDE>::SLICES; ++s) sum += parts[i + s * ACROSS * SIDE];
        f(place(i / SIDE, r), i % SIDE, sum);
      }
    }
  }
};

// A product whose K is shared by `parts` blocks, each with sums of its own; and `summed` such products, added up, with
// the operands so far apart.
struct Depth {
  int K, parts = 1, summed = 1;
  long long a_step = 0, b_step = 0;
};

// out(part, m, n, sum) for each element of one tile: of tile number `block` of the product.
template <typename Loop, typename A, typename B, typename Out>
__device__ void tile_of_product(typename Loop::Shared& stage, int block, const Operand<A>& a, const Operand<B>& b,
                                const Depth& depth, Out out) {
  using T = typename Loop::Element;
  using Shared = typename Loop::Shared;
  constexpr int SIDE = Loop::EDGE;
  const int M = a.count + a.ones, N = b.count, across = (N + SIDE - 1) / SIDE, down = (M + SIDE - 1) / SIDE;
  const int part = block / (across * down), m = block / across % down * SIDE, n = block % across * SIDE;
  const int each = (depth.K + Shared::DEPTH - 1) / Shared::DEPTH, steps = each * depth.summed;
  const int begin = int((long long)steps * part / depth.parts);
  int left = int((long long)steps * (part + 1) / depth.parts) - begin, k = begin % each * Shared::DEPTH;
  long long a_at = begin / each * depth.a_step, b_at = begin / each * depth.b_step;
  T next_a[Shared::LOADS], next_b[Shared::LOADS];
  Loop loop;
  const auto ahead = [&] {
    fetch<SIDE>(a, a_at, m, k, depth.K, next_a);
    fetch<SIDE>(b, b_at, n, k, depth.K, next_b);
    k += Shared::DEPTH;
    if (k >= depth.K) k = 0, a_at += depth.a_step, b_at += depth.b_step;
  };
  ahead();
  for (;;) {
    put<SIDE>(next_a, a.inner == 1, stage.a);
    put<SIDE>(next_b, b.inner == 1, stage.b);
    __syncthreads();
    if (--left > 0) ahead();
    loop.add(stage);
    if (left <= 0) break;
    __syncthreads();  // everyone has read this step's
  }
  loop.finish(stage, [&](int i, int j, T sum) {
    if (m + i < M && n + j < N) out(part, m + i, n + j, sum);
  });
}

// What the blocks that share K have left, `size` apart.
template <typename T>
__device__ T sum_of_parts(const T* sums, long long i, int parts, long long size) {
  T sum = sums[i];
  for (int part = 1; part < parts; ++part) sum += sums[i + part * size];
  return sum;
}
