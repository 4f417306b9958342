// Matrix products by tiles of SIDE x SIDE: operands as strides say, numbers of tiles, and what blocks that share K do.
//
// A number of A is read N / SIDE times, mostly from L2: a large tile reads less; a small one makes many blocks of few
// results. Rows and columns are read by 16 bytes where they are contiguous and begin at a multiple of that.
#pragma once
#include "tile.cuh"

// By side and format: the sums of a thread in either direction, and the depth of a step. Of either operand a thread
// fetches a pack or two for it: two for tensor cores, which are soon done, and for small tiles, which wait for memory;
// one where registers or shared memory are short.
template <typename F, int SIDE>
struct Tile {
  static constexpr int EACH = SIDE < 128 ? 4 : 8;
  static constexpr int DEPTH = (Format<F>::TENSOR || (SIDE == 16 && sizeof(F) == 4) ? 2048 : 1024) / SIDE;
};
template <typename F, int SIDE>
using Stage = Room<F, SIDE, SIDE, Tile<F, SIDE>::DEPTH>;

// An element of an operand, by its offset.
template <typename T>
struct Plain {
  const T* x;
  __device__ T operator()(long long i) const { return x[i]; }
};

// The first `there` of four neighbours, zeros after them; an overload may bring them in one load.
template <typename Value>
__device__ auto four(const Value& value, long long i, int there) {
  Pack<decltype(value(i))> p = {};
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (j < there) p.v[j] = value(i + j);
  return p;
}
template <typename T>
__device__ Pack<T> four(const Plain<T>& from, long long i, int there) {
  if (there >= 4 && aligned(from.x + i)) return *reinterpret_cast<const Pack<T>*>(from.x + i);
  return four<Plain<T>>(from, i, there);
}

// A as (row, k) or B as (column, k): `count` of the former, so far apart; inner or outer is 1. Then one of ones, if
// wanted: of A^T (outer 1), whose product with B is the sum over the rows of B.
template <typename Value>
struct Operand {
  Value value;
  long long outer, inner;
  int count;
  bool ones = false;
  __device__ bool along() const { return outer != 1; }
};

// A product whose K is shared by `parts` blocks, each with sums of its own; and `summed` such products, added up, with
// the operands so far apart.
struct Depth {
  int K, parts = 1, summed = 1;
  long long a_step = 0, b_step = 0;
};

// An operand as a source of packs, from its row or column number `place` on: of these, or of k, there are so many.
template <typename F, typename Value>
struct Source {
  const Operand<Value>& x;
  const bool along;
  const int K, count;
  const long long start;

  __device__ Source(const Operand<Value>& x, long long offset, int place, int K)
      : x(x), along(x.along()), K(K), count(along ? place < x.count ? K : 0 : x.count - place),
        start(offset + place * x.outer) {}
  __device__ Pack<Stored<F>> operator()(int k) const {
    const int there = along ? count - k : k < K ? count : 0;
    Pack<Stored<F>> p = four(x.value, start + k * x.inner, there);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (x.ones && i == count) p.v[i] = 1;
    return p;
  }
};

// out(part, m, n, sum) for each element of one tile: of tile number `block` of the product.
template <typename F, int SIDE, typename A, typename B, typename Out>
__device__ void tile_of_product(Stage<F, SIDE>& stage, int block, const Operand<A>& a, const Operand<B>& b,
                                const Depth& depth, Out out) {
  constexpr int DEPTH = Tile<F, SIDE>::DEPTH, EACH = Tile<F, SIDE>::EACH;
  const int M = a.count + a.ones, N = b.count, across = (N + SIDE - 1) / SIDE, down = (M + SIDE - 1) / SIDE;
  const int part = block / (across * down), m = block / across % down * SIDE, n = block % across * SIDE;
  const int each = (depth.K + DEPTH - 1) / DEPTH, steps = each * depth.summed;
  const int end = int((long long)steps * (part + 1) / depth.parts);
  int step = int((long long)steps * part / depth.parts), count;
  using Load = Loader<F, SIDE, DEPTH>;
  Product<F, SIDE, SIDE, EACH, DEPTH, EACH> tile;
#pragma unroll 1
  do {  // to the compiler one round, and registers for one, where nothing is summed
    const int number = step / each, k = step % each;
    const Source<F, A> rows(a, number * depth.a_step, m + Load::place(a.along()), depth.K);
    const Source<F, B> columns(b, number * depth.b_step, n + Load::place(b.along()), depth.K);
    count = min(each - k, end - step);
    multiply(tile, stage, rows, columns, k * DEPTH, (k + count) * DEPTH);
    step += count;
  } while (depth.summed > 1 && step < end);
  tile.template finish<1>(stage, [&](int i, int j, const Pack<Stored<F>, 1>& sum) {
    if (m + i < M && n + j < N) out(part, m + i, n + j, sum.v[0]);
  });
}

// What the blocks that share K have left, `size` apart.
template <typename T>
__device__ T sum_of_parts(const T* sums, long long i, int parts, long long size) {
  T sum = sums[i];
  for (int part = 1; part < parts; ++part) sum += sums[i + part * size];
  return sum;
}
