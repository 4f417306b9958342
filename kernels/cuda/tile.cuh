// A tile of a matrix product by a block of 256 threads: operands through shared memory, sums in registers.
//
// Two buffers of DEPTH products each: while one is multiplied, the next one is on its way from memory into registers,
// and one barrier a step is enough. A thread adds up TM x 4 sums; from shared memory it reads TM + 4 numbers for them.
// Where a tile has work for fewer than 256 threads they form slices that share the DEPTH, and add up in the end.
// Sums are added in an order that depends on sizes only. What multiplies is one class by format: on CUDA cores, or on
// tensor cores (mma.cuh), where sums come back through shared memory, four neighbours at a time.
#pragma once
#include "mma.cuh"

constexpr int THREADS = 256;

template <typename T>
struct alignas(16) Pack {
  T v[4];
};

// Fetches LENGTH x DEPTH numbers as packs of four neighbours along the depth, or along the length. Neighbouring threads
// take neighbouring places of the length, and a thread the same place in every pack: a source can know it beforehand.
template <typename T, int LENGTH, int DEPTH, bool ALONG_DEPTH>
struct Loader {
  static constexpr int ACROSS = ALONG_DEPTH ? LENGTH : LENGTH / 4;
  static constexpr int PACKS = LENGTH * DEPTH / 4, EACH = (PACKS + THREADS - 1) / THREADS;
  static_assert(THREADS % ACROSS == 0, "a thread would change its place");
  Pack<T> held[EACH];

  static __device__ int place() { return threadIdx.x % ACROSS * (ALONG_DEPTH ? 1 : 4); }
  static __device__ int depth(int j) { return (threadIdx.x + j * THREADS) / ACROSS * (ALONG_DEPTH ? 4 : 1); }
  static __device__ bool mine(int j) { return PACKS % THREADS == 0 || threadIdx.x + j * THREADS < PACKS; }

  template <typename F>
  __device__ void fetch(const F& source, int k) {
#pragma unroll
    for (int j = 0; j < EACH; ++j)
      if (mine(j)) held[j] = source(k + depth(j));
  }
  template <typename F, int MORE>
  __device__ void store(Plane<F, DEPTH, LENGTH, MORE>& to) const {
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
      if (!mine(j)) continue;
      if constexpr (ALONG_DEPTH || Format<F>::TENSOR) {
#pragma unroll
        for (int i = 0; i < 4; ++i) to.put(depth(j) + ALONG_DEPTH * i, place() + !ALONG_DEPTH * i, held[j].v[i]);
      } else {
        *reinterpret_cast<Pack<T>*>(&to.at[depth(j)][place()]) = held[j];
      }
    }
  }
};

// Two steps of both operands.
template <typename F, int M, int N, int DEPTH>
struct Room {
  static constexpr int MORE = Format<F>::TENSOR ? 8 : 0;
  Plane<F, DEPTH, M, MORE> left[2];
  Plane<F, DEPTH, N, MORE> right[2];
};

// The products from begin to end, by sources that give packs of zeros beyond the end.
template <bool A_ALONG_DEPTH, bool B_ALONG_DEPTH, typename Tile, typename F, int M, int N, int DEPTH, typename A, typename B>
__device__ void multiply(Tile& tile, Room<F, M, N, DEPTH>& room, const A& a, const B& b, int begin, int end) {
  Loader<Stored<F>, M, DEPTH, A_ALONG_DEPTH> of_a;
  Loader<Stored<F>, N, DEPTH, B_ALONG_DEPTH> of_b;
  int now = 0;
  for (int k = begin; k - DEPTH < end; k += DEPTH, now ^= 1) {
    if (k < end) of_a.fetch(a, k), of_b.fetch(b, k);
    if (k > begin) tile.add(room.left[now ^ 1], room.right[now ^ 1]);
    if (k < end) of_a.store(room.left[now]), of_b.store(room.right[now]);
    __syncthreads();
  }
}

// On CUDA cores: sums[i][j] of row() + i and column() + j of the tile, TM x 4 of a thread. On tensor cores TM is not asked.
template <typename F, int M, int N, int TM, int DEPTH, bool = Format<F>::TENSOR>
struct Product {
  static constexpr int ACROSS = N / 4, TEAM = ACROSS * (M / TM), SLICES = THREADS / TEAM;
  static_assert(TM % 4 == 0 && TEAM * SLICES == THREADS && DEPTH % SLICES == 0, "sizes that do not fit");
  F sums[TM][4] = {};

  static __device__ int slice() { return threadIdx.x / TEAM; }
  static __device__ int row() { return threadIdx.x % TEAM / ACROSS * TM; }
  static __device__ int column() { return threadIdx.x % ACROSS * 4; }

  __device__ void add(const Plane<F, DEPTH, M, 0>& a, const Plane<F, DEPTH, N, 0>& b) {
#pragma unroll 4
    for (int step = 0; step < DEPTH / SLICES; ++step) {
      const int k = step * SLICES + slice();
      const Pack<F> right = *reinterpret_cast<const Pack<F>*>(&b.at[k][column()]);
#pragma unroll
      for (int i = 0; i < TM; i += 4) {
        const Pack<F> left = *reinterpret_cast<const Pack<F>*>(&a.at[k][row() + i]);
#pragma unroll
        for (int r = 0; r < 4; ++r)
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[i + r][j] += left.v[r] * right.v[j];
      }
    }
  }

  // What the slices have, a row of sums at a time, into those of slice 0.
  __device__ void add_up(Pack<F>* room) {
#pragma unroll
    for (int i = 0; i < TM; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) room[threadIdx.x].v[j] = sums[i][j];
      __syncthreads();
      for (int other = 1; slice() == 0 && other < SLICES; ++other)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += room[other * TEAM + threadIdx.x].v[j];
      __syncthreads();
    }
  }

  // f(row, column, sums) for four neighbours of a row each.
  template <typename Do>
  __device__ void finish(Room<F, M, N, DEPTH>& room, Do f) {
    if constexpr (SLICES > 1) {
      static_assert(sizeof room.left >= sizeof(Pack<F>) * THREADS, "no room to add up in");
      add_up(reinterpret_cast<Pack<F>*>(&room));
    }
    if (slice()) return;
#pragma unroll 1
    for (int i = 0; i < TM; ++i) {  // not unrolled: a copy of f in every place would be long
      Pack<F> p;
#pragma unroll
      for (int c = 0; c < TM * 4; ++c)
        if (c / 4 == i) p.v[c % 4] = sums[c / 4][c % 4];
      f(row() + i, column(), p);
    }
  }
};

constexpr int slices_of(int M, int N) { return M * N < 1024 ? 4 : 1; }  // of warps: small tiles have work for two
template <typename F, int M, int N, int TM, int DEPTH>
struct Product<F, M, N, TM, DEPTH, true> : Warps<F, M, N, DEPTH, slices_of(M, N)> {
  using Base = Warps<F, M, N, DEPTH, slices_of(M, N)>;

  template <typename Do>
  __device__ void finish(Room<F, M, N, DEPTH>& room, Do f) {
    constexpr int SLICES = slices_of(M, N), PACKS = Base::LEFT * N / 4;
    static_assert(sizeof room >= sizeof(Pack<float>) * SLICES * PACKS, "no room for the sums");
    const Pack<float>* parts = reinterpret_cast<const Pack<float>*>(&room);
#pragma unroll 1
    for (int round = 0; round < Base::ROUNDS; ++round) {
      __syncthreads();  // everyone has read what was here
      Base::leave(round, reinterpret_cast<float*>(&room));
      __syncthreads();
#pragma unroll 1
      for (int i = threadIdx.x; i < PACKS; i += THREADS) {
        Pack<float> p = parts[i];
#pragma unroll
        for (int s = 1; s < SLICES; ++s)
#pragma unroll
          for (int j = 0; j < 4; ++j) p.v[j] += parts[s * PACKS + i].v[j];
        f(Base::place(i / (N / 4), round), i % (N / 4) * 4, p);
      }
    }
  }
};
