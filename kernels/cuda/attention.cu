// Attention, a tile of 64 x 64 scores at a time: the matrix of all scores never exists.
//
//   forward   p = exp(scale q k^T - top) tile by tile, y = p v / sum of p; a larger top shrinks what was summed before.
//             Saved: top + log(sum) of every query.
//   inner     sum over features of y dy, which is sum over s of p dp
//   backward  p again, ds = scale p (dy v^T - inner), and of dq = ds k, dk = ds^T q, dv = p^T dy one, by WHAT
//
// Online softmax: Dao et al., NeurIPS 2022, algorithm 1. A block has 64 queries (of dk and dv, keys) of one head and 64
// features of what it computes; heads with more are done by several blocks, each with scores of its own. So is each
// gradient: 8 products of a tile instead of the 5 that are necessary, but no sum that two blocks share. Tiles that
// `causal` or padding hides are left out. Bound by multiply-adds. Padding is not read.
#include "small_tile.cuh"

enum What { DQ, DK, DV };

// Rows of one head: (rows, width) with `pitch` between rows.
template <typename T>
struct Head {
  const T* start;
  int rows, width, pitch;
  __device__ T operator()(int row, int i) const {
    return row < rows && i < width ? start[(long long)row * pitch + i] : T(0);
  }
};

template <typename T>
__device__ Head<T> head(const T* x, int n, int h, int all, int rows, int width, int heads) {
  return {x + (long long)n * all * width * heads + h * width, rows, width, width * heads};
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
  __device__ int first(int s) const {  // the tile of the first query that may see key s
    const int t = s - (keys - queries);
    return !causal || t < 0 ? 0 : t / TILE * TILE;
  }
};

// Every one of the 16 threads that have a row's sums gets the result.
template <typename T, typename F>
__device__ T row_reduce(T value, F f) {
  for (int bits = 8; bits; bits /= 2) value = f(value, __shfl_xor_sync(~0u, value, bits, 16));
  return value;
}

// lengths: null, or of any integer type; they go to `ends` within 0..S. logs: (N, T, heads).
template <typename T, typename L>
__global__ void __launch_bounds__(256, 2)
    forward(const T* q, const T* k, const T* v, const L* lengths, int* ends, T* y, T* logs, int queries, int S, int D, int V,
            int heads, int causal, T scale) {
  __shared__ T p[TILE * TILE_PITCH];  // written between barriers of the products before and after
  const int tiles = (queries + TILE - 1) / TILE, t0 = blockIdx.x % tiles * TILE, h = blockIdx.x / tiles % heads;
  const int n = blockIdx.x / tiles / heads, n0 = blockIdx.y * TILE;
  const long long length = lengths ? (long long)lengths[n] : S;
  const Sight seen{queries, S, int(length < 0 ? 0 : length < S ? length : S), causal};
  const Head<T> qs = head(q, n, h, queries, queries, D, heads), ks = head(k, n, h, S, seen.end, D, heads);
  const Head<T> vs = head(v, n, h, S, seen.end, V, heads);
  T sums[4][4] = {}, top[4], total[4] = {};
  for (int i = 0; i < 4; ++i) top[i] = -infinity<T>();
  for (int s0 = 0, end = seen.last(t0 + TILE - 1); s0 < end; s0 += TILE) {
    T z[4][4] = {};
    tile_product<true, true>(t0, s0, 0, D, qs, ks, z);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const T before = top[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        z[i][j] = seen(t0 + tile_row() + i, s0 + tile_column() + j) ? z[i][j] * scale : -infinity<T>();
        top[i] = Greater()(top[i], z[i][j]);
      }
      top[i] = row_reduce(top[i], Greater());
      const T shift = top[i] == -infinity<T>() ? T(0) : top[i], shrunk = exp(before - shift);
      T sum = T(0);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        sum += p[(tile_row() + i) * TILE_PITCH + tile_column() + j] = exp(z[i][j] - shift);
        sums[i][j] *= shrunk;
      }
      total[i] = total[i] * shrunk + row_reduce(sum, Plus());
    }
    __syncthreads();
    tile_product<true, false>(
        0, n0, 0, TILE, [=](int t, int s) { return p[t * TILE_PITCH + s]; },
        [=](int i, int s) { return vs(s0 + s, i); }, sums);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = t0 + tile_row() + i;
    if (t >= queries) continue;
    const long long row = ((long long)n * queries + t) * heads + h;
    const bool none = total[i] == T(0);  // it sees nothing
    if (n0 + tile_column() == 0) logs[row] = none ? T(0) : top[i] + log(total[i]);
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (n0 + tile_column() + j < V) y[row * V + n0 + tile_column() + j] = none ? T(0) : sums[i][j] / total[i];
  }
  if (lengths && blockIdx.x == n * tiles * heads && blockIdx.y == 0 && threadIdx.x == 0) ends[n] = seen.end;
}

// out (rows,): a warp a row
template <typename T>
__global__ void __launch_bounds__(256, 4) inner(const T* y, const T* dy, T* out, long long rows, int V) {
  for (long long row = first() / 32; row < rows; row += stride() / 32) {
    T sum = T(0);
    for (int i = threadIdx.x % 32; i < V; i += 32) sum += y[row * V + i] * dy[row * V + i];
    sum = warp_reduce(sum, Plus());
    if (threadIdx.x % 32 == 0) out[row] = sum;
  }
}

template <typename T, int WHAT>
__global__ void __launch_bounds__(256, 2)
    backward(const T* q, const T* k, const T* v, const int* ends, const T* dy, const T* logs, const T* inner, T* out,
             int queries, int S, int D, int V, int heads, int causal, T scale) {
  __shared__ T p[TILE * TILE_PITCH];
  const int rows = WHAT == DQ ? queries : S, width = WHAT == DV ? V : D, tiles = (rows + TILE - 1) / TILE;
  const int m0 = blockIdx.x % tiles * TILE, h = blockIdx.x / tiles % heads, n = blockIdx.x / tiles / heads;
  const Sight seen{queries, S, ends ? ends[n] : S, causal};
  const Head<T> qs = head(q, n, h, queries, queries, D, heads), ks = head(k, n, h, S, seen.end, D, heads);
  const Head<T> ds = head(dy, n, h, queries, queries, V, heads), vs = head(v, n, h, S, seen.end, V, heads);
  const Head<T> right = WHAT == DQ ? ks : WHAT == DK ? qs : ds;
  const int start = WHAT == DQ ? 0 : seen.first(m0);
  const int end = WHAT == DQ ? seen.last(m0 + TILE - 1) : m0 < seen.end ? queries : 0;
  logs += (long long)n * queries * heads + h, inner += (long long)n * queries * heads + h;
  T sums[4][4] = {};
  for (int n0 = start; n0 < end; n0 += TILE) {
    T z[4][4] = {};
    tile_product<true, true>(m0, n0, 0, D, WHAT == DQ ? qs : ks, WHAT == DQ ? ks : qs, z);
    tile_each(m0, n0, z, [&](int row, int column, T& score) {
      const int t = WHAT == DQ ? row : column, s = WHAT == DQ ? column : row;
      const T weight = seen(t, s) ? exp(score * scale - logs[t * heads]) : T(0);
      p[(row - m0) * TILE_PITCH + column - n0] = weight, score = T(0);
    });
    if (WHAT != DV) {
      tile_product<true, true>(m0, n0, 0, V, WHAT == DQ ? ds : vs, WHAT == DQ ? vs : ds, z);
      tile_each(m0, n0, z, [&](int row, int column, T dweight) {
        const int t = WHAT == DQ ? row : column, s = WHAT == DQ ? column : row;
        T& weight = p[(row - m0) * TILE_PITCH + column - n0];
        weight = seen(t, s) ? weight * (dweight - inner[t * heads]) * scale : T(0);
      });
    }
    __syncthreads();
    tile_product<true, false>(
        0, blockIdx.y * TILE, 0, TILE, [=](int row, int i) { return p[row * TILE_PITCH + i]; },
        [=](int column, int i) { return right(n0 + i, column); }, sums);
  }
  tile_each(m0, blockIdx.y * TILE, sums, [=](int row, int column, T sum) {
    if (row < rows && column < width) out[(((long long)n * rows + row) * heads + h) * width + column] = sum;
  });
}
