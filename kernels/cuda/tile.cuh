// A small matrix product: one 64 x 64 tile of A B by a block of 256 threads, 4 x 4 sums each, 16 steps of k at a time.
//
// What comes from memory goes through registers while the tile before it is multiplied. Of three reads of shared memory
// 16 multiply-adds are made: bound by those. Sums run over k in order.
#pragma once
#include "common.cuh"

constexpr int TILE = 64, TILE_DEPTH = 16, TILE_PITCH = TILE + 4;

template <typename T>
struct alignas(16) Quad { T v[4]; };

// The place in a tile of a thread's i-th element: neighbouring threads read neighbours in memory.
template <bool BY_K>
__device__ int tile_k(int i) { return BY_K ? threadIdx.x % TILE_DEPTH : threadIdx.x / TILE + i * 4; }
template <bool BY_K>
__device__ int tile_m(int i) { return BY_K ? threadIdx.x / TILE_DEPTH + i * 16 : threadIdx.x % TILE; }

// a(m, k) and b(n, k) give elements, 0 outside the matrices; put(m, n, sum over k0 <= k < k1) is called for all places.
// BY_K: neighbours in memory are neighbours in k.
template <typename T, bool A_BY_K, bool B_BY_K, typename A, typename B, typename Put>
__device__ void tile_product(int m0, int n0, int k0, int k1, A a, B b, Put put) {
  __shared__ Quad<T> room[2][TILE_DEPTH * TILE_PITCH / 4];
  T *left = room[0]->v, *right = room[1]->v;
  T sums[4][4] = {}, next_a[4], next_b[4];
  const int row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
  for (int k = k0 - TILE_DEPTH; k < k1; k += TILE_DEPTH) {
    if (k + TILE_DEPTH < k1)
      for (int i = 0; i < 4; ++i) {
        const int ka = k + TILE_DEPTH + tile_k<A_BY_K>(i), kb = k + TILE_DEPTH + tile_k<B_BY_K>(i);
        next_a[i] = ka < k1 ? a(m0 + tile_m<A_BY_K>(i), ka) : T(0);
        next_b[i] = kb < k1 ? b(n0 + tile_m<B_BY_K>(i), kb) : T(0);
      }
    if (k >= k0)
#pragma unroll
      for (int j = 0; j < TILE_DEPTH; ++j) {
        const Quad<T> x = *reinterpret_cast<const Quad<T>*>(left + j * TILE_PITCH + row);
        const Quad<T> y = *reinterpret_cast<const Quad<T>*>(right + j * TILE_PITCH + column);
        for (int p = 0; p < 4; ++p)
          for (int q = 0; q < 4; ++q) sums[p][q] += x.v[p] * y.v[q];
      }
    __syncthreads();  // everyone has read this tile
    for (int i = 0; i < 4; ++i) {
      left[tile_k<A_BY_K>(i) * TILE_PITCH + tile_m<A_BY_K>(i)] = next_a[i];
      right[tile_k<B_BY_K>(i) * TILE_PITCH + tile_m<B_BY_K>(i)] = next_b[i];
    }
    __syncthreads();
  }
#pragma unroll
  for (int p = 0; p < 4; ++p)
#pragma unroll
    for (int q = 0; q < 4; ++q) put(m0 + row + p, n0 + column + q, sums[p][q]);
}
