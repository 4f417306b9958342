// What normalisation does with the columns (channels) of a matrix of rows, by blocks of 512 threads.
//
// A tile is `width` neighbouring columns, a power of two up to 32; a block has it in THREADS / width rows at a time, so
// that a warp reads 128 bytes that lie side by side. Each thread goes down its column; what the rows of a block have
// found is put together in a tree in shared memory, what the blocks have found by whoever needs it, always in one order.
#pragma once
#include "common.cuh"

constexpr int THREADS = 512;

struct Tile {
  int c, lane, lanes;  // a thread's column, the last one where there are no more; its row of so many
  bool here;           // is there such a column? It must not write otherwise
  __device__ Tile(int C, int width)
      : c(blockIdx.x * width + threadIdx.x % width), lane(threadIdx.x / width), lanes(THREADS / width), here(c < C) {
    c = min(c, C - 1);
  }
};

// Where the share of a block begins, of the rows or parts that gridDim.y blocks have.
__device__ inline long long share(long long rows, int part, int parts) { return rows * part / parts; }

// f over the lanes of a tile; all of them get the result.
template <typename V, typename F>
__device__ V fold(V value, int width, F f) {
  __shared__ V all[THREADS];
  __syncthreads();  // everyone has read what the last one left here
  all[threadIdx.x] = value;
  __syncthreads();
  for (int s = THREADS / 2; s >= width; s /= 2) {
    if (threadIdx.x < s) all[threadIdx.x] = f(all[threadIdx.x], all[threadIdx.x + s]);
    __syncthreads();
  }
  return all[threadIdx.x % width];
}

template <typename T>
struct Moments {  // the mean of so many numbers, and the sum of their squares about it
  T mean, spread;
  long long rows;
};

// Chan, Golub and LeVeque, The American Statistician 37 (1983).
struct Merge {
  template <typename T>
  __device__ Moments<T> operator()(const Moments<T>& a, const Moments<T>& b) const {
    if (b.rows == 0) return a;
    if (a.rows == 0) return b;
    const T apart = b.mean - a.mean, part = T(b.rows) / T(a.rows + b.rows);
    return {a.mean + apart * part, a.spread + (b.spread + apart * apart * (part * T(a.rows))), a.rows + b.rows};
  }
};

// Of the rows r0 + lane, + lanes, ... up to r1 of the column that begins at x. Some at a time, which are loaded
// together: relative to the first of them and then to their mean, so that a mean far from 0 costs no digits.
template <typename T>
__device__ Moments<T> moments_of(const T* x, int C, int lane, int lanes, long long r0, long long r1) {
  constexpr int BATCH = 32 / sizeof(T);
  Moments<T> all{T(0), T(0), 0};
  for (long long r = r0 + lane; r < r1; r += BATCH * lanes) {
    const int count = int(min((r1 - r + lanes - 1) / lanes, (long long)BATCH));
    const T* at = x + r * C;
    T v[BATCH], mean = T(0), spread = T(0);
    for (int k = 0; k < BATCH; ++k) v[k] = at[(k < count ? k : 0) * (lanes * C)];
    for (int k = 1; k < BATCH; ++k) mean += v[k] - v[0];
    mean /= T(count);
    for (int k = 0; k < BATCH; ++k) {
      const T far = k < count ? (v[k] - v[0]) - mean : T(0);
      spread += far * far;
    }
    all = Merge()(all, Moments<T>{v[0] + mean, spread, count});
  }
  return all;
}

template <typename T>
struct Sums {  // of dy, and of dy (x - mean)
  T plain, slanted;
};

struct Add {
  template <typename T>
  __device__ Sums<T> operator()(const Sums<T>& a, const Sums<T>& b) const {
    return {a.plain + b.plain, a.slanted + b.slanted};
  }
};

// What the parts (parts, C) have found, a lane's share of them.
template <typename T>
__device__ Sums<T> parts_of(const T* plains, const T* slants, int parts, int C, const Tile& t) {
  Sums<T> all{T(0), T(0)};
  for (int p = t.lane; p < parts; p += t.lanes)
    all.plain += plains[(long long)p * C + t.c], all.slanted += slants[(long long)p * C + t.c];
  return all;
}
