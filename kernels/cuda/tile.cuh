// A tile of a matrix product by a block of 256 threads: operands through shared memory, sums in registers.
//
// Two buffers of DEPTH products each: while one is multiplied, the next one is on its way from memory into registers,
// and one barrier a step is enough. A thread adds up TM x 4 sums; from shared memory it reads TM + 4 numbers for them.
// Where a tile has work for fewer than 256 threads they form slices that share the DEPTH, and add up in the end.
// Sums are added in an order that depends on sizes only.
#pragma once
#include "common.cuh"

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
  __device__ void store(T (*to)[LENGTH]) const {
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
      if (!mine(j)) continue;
      if constexpr (ALONG_DEPTH) {
#pragma unroll
        for (int i = 0; i < 4; ++i) to[depth(j) + i][place()] = held[j].v[i];
      } else {
        *reinterpret_cast<Pack<T>*>(&to[depth(j)][place()]) = held[j];
      }
    }
  }
};

// sums[i][j] of row() + i and column() + j of the tile.
template <typename T, int M, int N, int TM, int DEPTH>
struct Product {
  static constexpr int ACROSS = N / 4, TEAM = ACROSS * (M / TM), SLICES = THREADS / TEAM;
  static_assert(TM % 4 == 0 && TEAM * SLICES == THREADS && DEPTH % SLICES == 0, "sizes that do not fit");
  T sums[TM][4];

  static __device__ int slice() { return threadIdx.x / TEAM; }
  static __device__ int row() { return threadIdx.x % TEAM / ACROSS * TM; }
  static __device__ int column() { return threadIdx.x % ACROSS * 4; }

  // The one place that multiplies: tensor cores would do it here.
  __device__ void multiply(const T (*a)[M], const T (*b)[N]) {
#pragma unroll 4
    for (int step = 0; step < DEPTH / SLICES; ++step) {
      const int k = step * SLICES + slice();
      const Pack<T> right = *reinterpret_cast<const Pack<T>*>(&b[k][column()]);
#pragma unroll
      for (int i = 0; i < TM; i += 4) {
        const Pack<T> left = *reinterpret_cast<const Pack<T>*>(&a[k][row() + i]);
#pragma unroll
        for (int r = 0; r < 4; ++r)
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[i + r][j] += left.v[r] * right.v[j];
      }
    }
  }

  // The products from begin to end, by sources that give packs of zeros beyond the end; the sums are slice 0's.
  template <bool A_ALONG_DEPTH, bool B_ALONG_DEPTH, typename A, typename B>
  __device__ void run(const A& a, const B& b, int begin, int end) {
    alignas(16) __shared__ T left[2][DEPTH][M];
    alignas(16) __shared__ T right[2][DEPTH][N];
    Loader<T, M, DEPTH, A_ALONG_DEPTH> of_a;
    Loader<T, N, DEPTH, B_ALONG_DEPTH> of_b;
#pragma unroll
    for (int n = 0; n < TM * 4; ++n) sums[n / 4][n % 4] = T(0);
    int now = 0;
    for (int k = begin; k - DEPTH < end; k += DEPTH, now ^= 1) {
      if (k < end) of_a.fetch(a, k), of_b.fetch(b, k);
      if (k > begin) multiply(left[now ^ 1], right[now ^ 1]);
      if (k < end) of_a.store(left[now]), of_b.store(right[now]);
      __syncthreads();
    }
    if constexpr (SLICES > 1) {
      static_assert(sizeof left >= sizeof(Pack<T>) * THREADS, "no room to add up in");
      add_up(reinterpret_cast<Pack<T>*>(left));
    }
  }

  // What the slices have, a row of sums at a time, into those of slice 0.
  __device__ void add_up(Pack<T>* room) {
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
};
