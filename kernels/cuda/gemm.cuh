// Matrix products by tiles: the loop over K that the kernels of matmul, dense and others share.
//
//   +--------- N ---------+    A block of 256 threads makes SIDE x SIDE of out. In each step all of them fetch
//   M   out = A B         |    SLICES x DEPTH of K from A and B, one step ahead, in registers; from shared memory a
//   +---------------------+    thread then adds up EACH x EACH sums, of its slice of K.
//
// A number of A is read N / SIDE times from L2, and SIDE / EACH times from shared memory for EACH x EACH sums: a large tile
// reads less; a small one makes many blocks of few results, in which four slices of threads share K. Sums go slice by
// slice, so that the order depends on sizes only. What multiplies is one class by format: on CUDA cores, or on tensor
// cores (mma.cuh).
#pragma once
#include "mma.cuh"

// By the bytes of an element in shared memory.
template <int BYTES, int SIDE>
struct Tile;
template <int BYTES>
struct Tile<BYTES, 16> { static constexpr int DEPTH = (BYTES < 4 ? 64 : 128) / BYTES, EACH = 2, SLICES = 4; };
template <int BYTES>
struct Tile<BYTES, 32> { static constexpr int DEPTH = 32 / BYTES, EACH = 4, SLICES = 4; };
template <int BYTES>
struct Tile<BYTES, 64> { static constexpr int DEPTH = 64 / BYTES, EACH = 4, SLICES = 1; };
template <int BYTES>
struct Tile<BYTES, 128> { static constexpr int DEPTH = 32 / BYTES, EACH = 8, SLICES = 1; };

// What a tile of either operand takes of shared memory.
template <typename F, int SIDE>
struct Sizes : Tile<sizeof(typename Format<F>::Element), SIDE> {
  using Base = Tile<sizeof(typename Format<F>::Element), SIDE>;
  static constexpr int DEPTH = Base::DEPTH * Base::SLICES, LOADS = DEPTH * SIDE / 256;
};
template <typename F, int SIDE, bool = Format<F>::TENSOR>
struct Stage : Sizes<F, SIDE> {
  static constexpr int GROUP = Tile<sizeof(F), SIDE>::EACH < 4 ? 2 : 4;
  Plane<F, Sizes<F, SIDE>::DEPTH, SIDE, GROUP> a, b;
};
template <typename F, int SIDE>
struct Stage<F, SIDE, true> : Sizes<F, SIDE> {
  Plane<F, Sizes<F, SIDE>::DEPTH, SIDE, 8> a, b;
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
template <int SIDE, int DEPTH, typename T, typename Value, int LOADS>
__device__ void fetch(const Operand<Value>& x, long long offset, int first, int k, int K, T (&into)[LOADS]) {
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

template <int SIDE, int DEPTH, typename T, int LOADS, typename Room>
__device__ void put(const T (&from)[LOADS], bool along, Room& to) {
#pragma unroll
  for (int i = 0; i < LOADS; ++i) {
    const int j = threadIdx.x + 256 * i;
    if (along) to.put(j % DEPTH, j / DEPTH, from[i]);
    else to.put(j / SIDE, j % SIDE, from[i]);
  }
}

// The sums of a tile on CUDA cores. A thread's rows and columns go by groups that one load brings from shared memory.
template <typename T, int SIDE>
struct Fma {
  static constexpr int EACH = Tile<sizeof(T), SIDE>::EACH, SLICES = Tile<sizeof(T), SIDE>::SLICES;
  static constexpr int DEPTH = Tile<sizeof(T), SIDE>::DEPTH, GROUP = Stage<T, SIDE>::GROUP, ACROSS = SIDE / EACH;
  T sums[EACH][EACH] = {};

  __device__ static int column() { return threadIdx.x % ACROSS; }
  __device__ static int row() { return threadIdx.x / ACROSS % ACROSS; }
  __device__ static int slice() { return threadIdx.x / (ACROSS * ACROSS); }
  __device__ static int of(int thread, int i) { return i / GROUP * (ACROSS * GROUP) + thread * GROUP + i % GROUP; }

  __device__ static void read(const T* from, int thread, T (&into)[EACH]) {
#pragma unroll
    for (int i = 0; i < EACH; i += GROUP) {
      const auto group = *reinterpret_cast<const Group<T, GROUP>*>(from + of(thread, i));
#pragma unroll
      for (int j = 0; j < GROUP; ++j) into[i + j] = group.at[j];
    }
  }

  __device__ void add(const Stage<T, SIDE>& stage) {
    const int first = slice() * DEPTH;
#pragma unroll
    for (int k = 0; k < DEPTH; ++k) {
      T a[EACH], b[EACH];
      read(stage.a.at[first + k], row(), a);
      read(stage.b.at[first + k], column(), b);
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) sums[i][j] += a[i] * b[j];
    }
  }

  // The sums leave in rounds, a row of each thread at a time, to (slice, LEFT rows, SIDE) of shared memory.
  static constexpr int ROUNDS = EACH, LEFT = ACROSS;
  __device__ static int place(int left, int round) { return of(left, round); }
  __device__ void leave(int round, T* room) const {
#pragma unroll
    for (int i = 0; i < EACH; ++i)
#pragma unroll
      for (int j = 0; j < EACH; ++j)
        if (i == round) room[(slice() * ACROSS + row()) * SIDE + of(column(), j)] = sums[i][j];
  }
};

template <typename F, int SIDE, bool = Format<F>::TENSOR>
struct Loop : Fma<F, SIDE> {};
template <typename F, int SIDE>
struct Loop<F, SIDE, true> : Warps<F, SIDE, SIDE, Stage<F, SIDE>::DEPTH, Stage<F, SIDE>::SLICES> {
  static constexpr int SLICES = Stage<F, SIDE>::SLICES;
  __device__ void add(const Stage<F, SIDE>& stage) {
    Warps<F, SIDE, SIDE, Stage<F, SIDE>::DEPTH, SLICES>::add(stage.a, stage.b);
  }
};

// f(row, column, sum) of the tile, round by round, which fit where the operands were: neighbours are then written by
// neighbouring threads, and whatever f does stands in the code once.
template <typename L, int SIDE, typename Stage, typename T, typename F>
__device__ void finish(const L& loop, Stage& stage, T* room, F f) {
  static_assert(sizeof(Stage) >= L::SLICES * L::LEFT * SIDE * sizeof(T), "no room for the sums");
#pragma unroll 1
  for (int round = 0; round < L::ROUNDS; ++round) {
    __syncthreads();  // everyone has read what was here
    loop.leave(round, room);
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < L::LEFT * SIDE; i += 256) {
      T sum = room[i];
#pragma unroll
      for (int s = 1; s < L::SLICES; ++s) sum += room[i + s * L::LEFT * SIDE];
      f(L::place(i / SIDE, round), i % SIDE, sum);
    }
  }
}

// A product whose K is shared by `parts` blocks, each with sums of its own; and `summed` such products, added up, with
// the operands so far apart.
struct Depth {
  int K, parts = 1, summed = 1;
  long long a_step = 0, b_step = 0;
};

// out(part, m, n, sum) for each element of one tile: of tile number `block` of the product.
template <typename F, int SIDE, typename A, typename B, typename Out>
__device__ void tile_of_product(Stage<F, SIDE>& stage, int block, const Operand<A>& a, const Operand<B>& b,
                                const Depth& depth, Out out) {
  using T = Stored<F>;
  constexpr int DEPTH = Stage<F, SIDE>::DEPTH, LOADS = Stage<F, SIDE>::LOADS;
  const int M = a.count + a.ones, N = b.count, across = (N + SIDE - 1) / SIDE, down = (M + SIDE - 1) / SIDE;
  const int part = block / (across * down), m = block / across % down * SIDE, n = block % across * SIDE;
  const int each = (depth.K + DEPTH - 1) / DEPTH, steps = each * depth.summed;
  const int begin = int((long long)steps * part / depth.parts);
  int left = int((long long)steps * (part + 1) / depth.parts) - begin, k = begin % each * DEPTH;
  long long a_at = begin / each * depth.a_step, b_at = begin / each * depth.b_step;
  T next_a[LOADS], next_b[LOADS];
  Loop<F, SIDE> loop;
  const auto ahead = [&] {
    fetch<SIDE, DEPTH>(a, a_at, m, k, depth.K, next_a);
    fetch<SIDE, DEPTH>(b, b_at, n, k, depth.K, next_b);
    k += DEPTH;
    if (k >= depth.K) k = 0, a_at += depth.a_step, b_at += depth.b_step;
  };
  ahead();
  for (;;) {
    put<SIDE, DEPTH>(next_a, a.inner == 1, stage.a);
    put<SIDE, DEPTH>(next_b, b.inner == 1, stage.b);
    __syncthreads();
    if (--left > 0) ahead();
    loop.add(stage);
    if (left <= 0) break;
    __syncthreads();  // everyone has read this step's
  }
  finish<Loop<F, SIDE>, SIDE>(loop, stage, reinterpret_cast<T*>(&stage), [&](int i, int j, T sum) {
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
