// A tile of a matrix product by a block of 256 threads: operands through shared memory, sums in registers.
//
// Two buffers of DEPTH products each: while one is multiplied, the next one is on its way from memory into registers,
// and one barrier a step is enough. What multiplies is one class by format: on CUDA cores, below, or on tensor cores
// (mma.cuh). Where a tile has work for fewer than 256 threads they form slices that share the DEPTH. The sums of both
// leave through shared memory, where those of the slices are added up: in an order that depends on sizes only.
#pragma once
#include "mma.cuh"

// Fetches LENGTH x DEPTH numbers as packs of four neighbours, along the depth or along the length. Along the depth,
// neighbouring threads take what memory gives at once, 32 bytes; along the length, a thread takes what makes a word in
// shared memory. It has one place of the length in all packs: a source can know it beforehand.
template <typename F, int LENGTH, int DEPTH, bool ALONG = false>
struct Loader {
  static constexpr int BESIDE = 32 / sizeof(Pack<Stored<F>>), WORD = Format<F>::IN_WORD;
  static constexpr int PACKS = LENGTH * DEPTH / 4, WHOLE = PACKS / THREADS, LEAST = ALONG ? 1 : WORD;
  static constexpr int EACH = WHOLE > LEAST ? WHOLE : LEAST;
  static_assert(THREADS % (BESIDE * LENGTH) == 0 && DEPTH % (BESIDE * 4) == 0, "a thread would change its place");
  const bool along;
  Pack<Stored<F>> held[EACH];

  explicit __device__ Loader(bool along) : along(along) {}
  static __device__ int place(bool along) {
    return along ? threadIdx.x / BESIDE % LENGTH : threadIdx.x % (LENGTH / 4) * 4;
  }
  __device__ int depth(int j) const {
    if (along) return (threadIdx.x + j * THREADS) / (BESIDE * LENGTH) * (BESIDE * 4) + threadIdx.x % BESIDE * 4;
    return (threadIdx.x + j / WORD * THREADS) / (LENGTH / 4) * WORD + j % WORD;
  }
  __device__ bool mine(int j) const { return EACH * THREADS == PACKS || depth(j) < DEPTH; }

  template <typename Source>
  __device__ void fetch(const Source& source, int k) {
#pragma unroll
    for (int j = 0; j < EACH; ++j)
      if (mine(j)) held[j] = source(k + depth(j));
  }
  __device__ void store(Plane<F, DEPTH, LENGTH>& to) const {
    using Word = typename Format<F>::Word;
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
      if (!mine(j)) continue;
      if (along) {
#pragma unroll
        for (int i = 0; i < 4; i += WORD)
          to.at[(depth(j) + i) / WORD][place(true)] = Format<F>::word(held[j].v[i], held[j].v[i + WORD - 1]);
      } else if (j % WORD == 0) {
        Pack<Word> words;
#pragma unroll
        for (int i = 0; i < 4; ++i) words.v[i] = Format<F>::word(held[j].v[i], held[j + WORD - 1].v[i]);
        *reinterpret_cast<Pack<Word>*>(&to.at[depth(j) / WORD][place(false)]) = words;
      }
    }
  }
};

// Two steps of both operands.
template <typename F, int M, int N, int DEPTH>
struct Room {
  Plane<F, DEPTH, M> left[2];
  Plane<F, DEPTH, N> right[2];
};

// Adds the products from begin to end to a tile, by sources that give packs, `along` the depth or not: zeros beyond the
// end. ALONG: they are known to be, both. SPARE registers: nothing is fetched ahead, to wait in them while others are
// multiplied.
template <bool ALONG = false, bool SPARE = false, typename Tile, typename F, int M, int N, int DEPTH, typename A,
          typename B>
__device__ void multiply(Tile& tile, Room<F, M, N, DEPTH>& room, const A& a, const B& b, int begin, int end) {
  Loader<F, M, DEPTH, ALONG> of_a(a.along);
  Loader<F, N, DEPTH, ALONG> of_b(b.along);
  int now = 0;
  for (int k = begin; k - DEPTH < end; k += DEPTH, now ^= 1) {
    if (!SPARE && k < end) of_a.fetch(a, k), of_b.fetch(b, k);
    if (k > begin) tile.add(room.left[now ^ 1], room.right[now ^ 1]);
    if (SPARE && k < end) of_a.fetch(a, k);
    if (k < end) of_a.store(room.left[now]);
    if (SPARE && k < end) of_b.fetch(b, k);
    if (k < end) of_b.store(room.right[now]);
    __syncthreads();
  }
}

// As many rows as fit, of so many and that many bytes each; a power of two of them.
constexpr int fitting(int rows, int bytes, int room) {
  return rows * bytes <= room ? rows : fitting(rows / 2, bytes, room);
}

// The sums of M x N. On CUDA cores a thread has TM x TN: sums[i][j] of row() + i and column(j) of the tile.
template <typename F, int M, int N, int TM, int TN, int DEPTH, bool = Format<F>::TENSOR>
struct Cores {
  static constexpr int ACROSS = N / TN, DOWN = M / TM, TEAM = ACROSS * DOWN, SLICES = THREADS / TEAM;
  static_assert(TM % 4 == 0 && TN % 4 == 0 && TEAM * SLICES == THREADS && DEPTH % SLICES == 0, "sizes that do not fit");
  F sums[TM][TN] = {};

  static __device__ int slice() { return threadIdx.x / TEAM; }
  static __device__ int row() { return threadIdx.x % TEAM / ACROSS * TM; }
  static __device__ int column(int j = 0) { return j / 4 * (ACROSS * 4) + threadIdx.x % ACROSS * 4 + j % 4; }

  __device__ void add(const Plane<F, DEPTH, M>& a, const Plane<F, DEPTH, N>& b) {
#pragma unroll(sizeof(F) > 4 || TM * TN > 32 ? 1 : 4)  // registers are short
    for (int step = 0; step < DEPTH / SLICES; ++step) {
      const int k = step * SLICES + slice();
      Pack<F> right[TN / 4];
#pragma unroll
      for (int j = 0; j < TN; j += 4) right[j / 4] = *reinterpret_cast<const Pack<F>*>(&b.at[k][column(j)]);
#pragma unroll
      for (int i = 0; i < TM; i += 4) {
        const Pack<F> left = *reinterpret_cast<const Pack<F>*>(&a.at[k][row() + i]);
#pragma unroll
        for (int r = 0; r < 4; ++r)
#pragma unroll
          for (int j = 0; j < TN; ++j) sums[i + r][j] += left.v[r] * right[j / 4].v[j % 4];
      }
    }
  }

  // The sums leave in rounds, some rows of each thread at a time, to (slice, LEFT rows, N) of shared memory.
  static constexpr int ROWS = fitting(TM, SLICES * DOWN * N * sizeof(F), sizeof(Room<F, M, N, DEPTH>));
  static constexpr int ROUNDS = TM / ROWS, LEFT = DOWN * ROWS;
  static __device__ int place(int left, int round) { return left / ROWS * TM + round * ROWS + left % ROWS; }
  __device__ void leave(int round, F* room) const {
    F* to = room + (slice() * LEFT + row() / TM * ROWS) * N;
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
      for (int j = 0; j < TN; ++j)
        if (i / ROWS == round) to[i % ROWS * N + column(j)] = sums[i][j];
  }
};

template <typename F, int M, int N, int TM, int TN, int DEPTH>
struct Cores<F, M, N, TM, TN, DEPTH, true> : Warps<F, M, N, DEPTH> {};

template <typename F, int M, int N, int TM, int DEPTH, int TN = 4>
struct Product : Cores<F, M, N, TM, TN, DEPTH> {
  using Base = Cores<F, M, N, TM, TN, DEPTH>;

  // f(row, column, sums) for so many neighbours of a row each, neighbours by neighbouring threads. Not unrolled: a copy
  // of f in every place would be long.
  template <int WIDTH = 4, typename Do>
  __device__ void finish(Room<F, M, N, DEPTH>& room, Do f) {
    using T = Stored<F>;
    constexpr int PACKS = Base::LEFT * N / WIDTH;
    static_assert(sizeof room >= sizeof(Pack<T, WIDTH>) * Base::SLICES * PACKS, "no room for the sums");
    const auto* parts = reinterpret_cast<const Pack<T, WIDTH>*>(&room);
#pragma unroll 1
    for (int round = 0; round < Base::ROUNDS; ++round) {
      __syncthreads();  // everyone has read what was here
      Base::leave(round, reinterpret_cast<T*>(&room));
      __syncthreads();
#pragma unroll 1
      for (int i = threadIdx.x; i < PACKS; i += THREADS) {
        Pack<T, WIDTH> p = parts[i];
#pragma unroll
        for (int s = 1; s < Base::SLICES; ++s)
#pragma unroll
          for (int j = 0; j < WIDTH; ++j) p.v[j] += parts[s * PACKS + i].v[j];
        f(Base::place(i / (N / WIDTH), round), i % (N / WIDTH) * WIDTH, p);
      }
    }
  }
};
