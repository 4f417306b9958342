// A small matrix product: one 64 x 64 tile of A B by a block of 256 threads, 4 x 4 sums each, 64 bytes of k at a time.
//
// What comes from memory goes through registers, which a thread fills while others still multiply. Of three reads of shared memory
// 16 multiply-adds are made: bound by those. Sums run over k in order.
#pragma once
#include "common.cuh"

constexpr int TILE = 64, TILE_PITCH = TILE + 4;

template <typename T>
struct alignas(16) Quad { T v[4]; };

// The place in a tile of a thread's i-th element: neighbouring threads read neighbours in memory.
template <int DEPTH, bool BY_K>
__device__ int tile_k(int i) { return BY_K ? threadIdx.x % DEPTH : threadIdx.x / TILE + i * 4; }
template <int DEPTH, bool BY_K>
__device__ int tile_m(int i) { return BY_K ? threadIdx.x / DEPTH + i * (256 / DEPTH) : threadIdx.x % TILE; }

__device__ inline int tile_row() { return threadIdx.x / 16 * 4; }
__device__ inline int tile_column() { return threadIdx.x % 16 * 4; }

// Where tiles lie in shared memory, however many products a kernel makes.
template <typename T>
__device__ T* tile_room() {
  __shared__ Quad<T> room[2 * 64 / sizeof(T) * TILE_PITCH / 4];
  return room->v;
}

// sums += of k0 <= k < k1. a(m, k) and b(n, k) give elements, 0 outside the matrices, and are called before the first
// barrier. BY_K: neighbours in memory are neighbours in k.
template <bool A_BY_K, bool B_BY_K, typename T, typename A, typename B>
__device__ void tile_product(int m0, int n0, int k0, int k1, A a, B b, T (&sums)[4][4]) {
  constexpr int DEPTH = 64 / sizeof(T), EACH = DEPTH / 4;
  T *left = tile_room<T>(), *right = left + DEPTH * TILE_PITCH, next_a[EACH], next_b[EACH];
  for (int k = k0; k < k1; k += DEPTH) {
    for (int i = 0; i < EACH; ++i) {
      const int ka = k + tile_k<DEPTH, A_BY_K>(i), kb = k + tile_k<DEPTH, B_BY_K>(i);
      next_a[i] = ka < k1 ? a(m0 + tile_m<DEPTH, A_BY_K>(i), ka) : T(0);
      next_b[i] = kb < k1 ? b(n0 + tile_m<DEPTH, B_BY_K>(i), kb) : T(0);
    }
    __syncthreads();  // everyone has read the tile before
    for (int i = 0; i < EACH; ++i) {
      left[tile_k<DEPTH, A_BY_K>(i) * TILE_PITCH + tile_m<DEPTH, A_BY_K>(i)] = next_a[i];
      right[tile_k<DEPTH, B_BY_K>(i) * TILE_PITCH + tile_m<DEPTH, B_BY_K>(i)] = next_b[i];
    }
    __syncthreads();
#pragma unroll(sizeof(T) == 4 ? 4 : 1)  // registers are short in float64
    for (int j = 0; j < DEPTH; ++j) {
      const Quad<T> x = *reinterpret_cast<const Quad<T>*>(left + j * TILE_PITCH + tile_row());
      const Quad<T> y = *reinterpret_cast<const Quad<T>*>(right + j * TILE_PITCH + tile_column());
      for (int p = 0; p < 4; ++p)
        for (int q = 0; q < 4; ++q) sums[p][q] += x.v[p] * y.v[q];
    }
  }
}

// f(m, n, sum) for all of a thread's sums.
template <typename T, typename F>
__device__ void tile_each(int m0, int n0, T (&sums)[4][4], F f) {
#pragma unroll
  for (int p = 0; p < 4; ++p)
#pragma unroll
    for (int q = 0; q < 4; ++q) f(m0 + tile_row() + p, n0 + tile_column() + q, sums[p][q]);
}
