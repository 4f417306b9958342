// What the attention kernels share: rows of a head, who sees whom, and a tile of scores in registers.
//
// A tile of scores is an operand of the next product. On CUDA cores it is 64 x 64, a thread has 4 x 4 of it, and goes
// there through shared memory. On tensor cores it is 128 x 64 or 128 x 32, a warp has 16 whole rows, and what a thread
// has of their sums is what an instruction wants of the next left operand: it is rounded where it is.
#pragma once
#include "tile.cuh"

constexpr int FEATURES = 64;  // that a block computes

// So many numbers, four at a time, and zeros beyond. Wide: one load for four; in float64 that takes more registers than
// there are.
template <typename T>
struct Row {
  const T* from;
  int count;
  bool wide;
  static constexpr bool along = true;
  __device__ Pack<T> operator()(int i) const {
    Pack<T> p = {};
    if (sizeof(T) == 4 && wide) {
      if (i < count) p = *reinterpret_cast<const Pack<T>*>(from + i);
      return p;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (i + j < count) p.v[j] = from[i + j];
    return p;
  }
};

// (rows, width) of one head, `pitch` between rows.
template <typename T>
struct Head {
  const T* start;
  int rows, width, pitch;
  bool wide;

  __device__ Row<T> row(int m) const { return {start + (long long)m * pitch, m < rows ? width : 0, wide}; }
  __device__ Pack<T> operator()(int m, int i) const { return row(m)(i); }
};

template <typename T>
__device__ Head<T> head(const T* x, int n, int h, int all, int rows, int width, int heads) {
  const bool wide = width % 4 == 0 && aligned(x);
  return {x + (long long)n * all * width * heads + h * width, rows, width, width * heads, wide};
}

struct Sight {
  int queries, keys, end, causal;  // end: keys that are no padding
  __device__ bool operator()(int t, int s) const {
    return t < queries && s < end && (!causal || s <= t + keys - queries);
  }
  __device__ int last(int t) const {  // keys that queries up to t may see
    const int by_time = t + keys - queries + 1;
    return !causal || by_time > end ? end : by_time;
  }
  __device__ int first(int s) const {  // query that may see key s
    const int t = s - (keys - queries);
    return !causal || t < 0 ? 0 : t;
  }
};

// A tile of scores, or of what is computed: a thread has some numbers of a few rows. They can be put aside: then the
// tile begins anew.
template <typename F, int COLUMNS, bool TENSOR = Format<F>::TENSOR>
struct Tile : Product<F, 64, COLUMNS, 4, 32 / sizeof(F)> {
  static constexpr int ROWS = 64, DEPTH = 32 / sizeof(F);
  static constexpr int OWN = 4, LANES = 16;  // rows of a thread; neighbours that share them
  struct Memory {
    Room<F, ROWS, COLUMNS, DEPTH> room;
    Plane<F, DEPTH, FEATURES> right[2];
    Plane<F, DEPTH, ROWS> numbers[COLUMNS / DEPTH];
    __device__ F& of(int row, int column) { return numbers[column / DEPTH].at[column % DEPTH][row]; }
  };

  __device__ static int row_of(int i) { return Tile::row() + i; }
  // f(column, number, j) of what a thread has in row i of its own.
  template <typename Do>
  __device__ void each(int i, Do f) {
#pragma unroll
    for (int j = 0; j < 4; ++j) f(this->column() + j, this->sums[i][j], j);
  }

  struct Aside {
    Memory& memory;
    __device__ F operator()(int i, int j) const { return memory.of(row_of(i), Tile::column() + j); }
  };
  __device__ Aside put_aside(Memory& memory) {
#pragma unroll
    for (int i = 0; i < OWN; ++i) each(i, [&](int column, F& x, int) { memory.of(row_of(i), column) = x, x = 0; });
    return {memory};
  }

  // As the left operand of a product: made ready, then its columns from k on are multiplied.
  __device__ void make_operand(Memory& memory) { put_aside(memory); }
  __device__ static int key(int k) { return k; }
  template <typename Out>
  __device__ void add_to(Out& out, int k, Memory& memory, int now) const {
    out.add(memory.numbers[k / DEPTH], memory.right[now]);
  }
};

template <typename F, int COLUMNS>
struct Tile<F, COLUMNS, true> : Warps<F, 128, COLUMNS, 8 * Format<F>::IN_WORD, 1, 8> {
  static constexpr int ROWS = 128, IN_WORD = Format<F>::IN_WORD, DEPTH = 8 * IN_WORD, OWN = 2, LANES = 4;
  struct Memory {
    Room<F, ROWS, COLUMNS, DEPTH> room;
    Plane<F, DEPTH, FEATURES> right[2];
  };

  __device__ static int row_of(int i) { return Tile::row() + 8 * i + threadIdx.x % 32 / 4; }
  template <typename Do>
  __device__ void each(int i, Do f) {
#pragma unroll
    for (int j = 0; j < COLUMNS / 4; ++j)
      f(j / 2 * 8 + threadIdx.x % 4 * 2 + j % 2, this->sums[0][j / 2][2 * i + j % 2], j);
  }

  struct Aside {
    float at[COLUMNS / 8][4];
    __device__ float operator()(int i, int j) const { return at[j / 2][2 * i + j % 2]; }
  };
  __device__ Aside put_aside(Memory&) {
    Aside aside;
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; ++j)
#pragma unroll
      for (int c = 0; c < 4; ++c) aside.at[j][c] = this->sums[0][j][c], this->sums[0][j][c] = 0;
    return aside;
  }

  __device__ void make_operand(Memory&) const {}
  // Two neighbours of the sums make a word; in words of their own they lie 4 apart.
  __device__ static int key(int k) { return IN_WORD == 2 ? k : (k & ~7) | (k & 3) << 1 | (k >> 2 & 1); }
  template <typename Out>
  __device__ void add_to(Out& out, int k, Memory& memory, int now) const {
    out.add(memory.right[now], [&](int, int word, unsigned (&a)[4]) {
      const auto* x = this->sums[0] + (k + word * IN_WORD) / 8;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = IN_WORD == 2 ? x[i / 2] + i % 2 * 2 : x[0] + i % 2 * 2 + i / 2;
        a[i] = Format<F>::word(pair[0], pair[IN_WORD - 1]);
      }
    });
  }
};

// out += z right(k, four columns)
template <typename F, int COLUMNS, typename Memory, typename Right, typename Out>
__device__ void multiply(Tile<F, COLUMNS>& z, Memory& memory, const Right& right, Out& out) {
  using Z = Tile<F, COLUMNS>;
  constexpr bool AHEAD = Format<F>::TENSOR && COLUMNS == 64;
  Loader<F, FEATURES, Z::DEPTH> loader(false);
  const auto in_order = [&](int k) { return right(Z::key(k)); };
  z.make_operand(memory);
#pragma unroll(Format<F>::TENSOR ? 16 : 1)  // there the operand is in registers
  for (int k = 0; k - Z::DEPTH < COLUMNS; k += Z::DEPTH) {
    const int now = k / Z::DEPTH % 2;
    if (AHEAD && k < COLUMNS) loader.fetch(in_order, k);
    if (k > 0) z.add_to(out, k - Z::DEPTH, memory, now ^ 1);
    if (!AHEAD && k < COLUMNS) loader.fetch(in_order, k);
    if (k < COLUMNS) loader.store(memory.right[now]);
    __syncthreads();
  }
}
