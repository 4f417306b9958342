// Attention, a tile of scores at a time (attention.cuh): the matrix of all scores never exists.
//
//   forward   p = exp(scale q k^T - top) tile by tile, y = p v / sum of p; a larger top shrinks what was summed before.
//             Saved: top + log(sum) of every query.
//   inner     sum over features of y dy, which is sum over s of p dp
//   backward  p again, ds = p (dy v^T - inner), and of dq = scale ds k, dk = scale ds^T q, dv = p^T dy one, by WHAT
//
// Online softmax: Dao et al., NeurIPS 2022, algorithm 1. A block has the queries (of dk and dv, the keys) of a tile of
// one head and 64 features of what it computes; heads with more are done by several blocks, each with scores of its
// own. So is each gradient: 8 products of a tile instead of the 5 that are necessary, but no sum that two blocks share.
// Tiles that `causal` or padding hides are left out. Padding is not read.
//
// Tensor cores round operands: q, k, v, dy, and p and ds; scores, softmax and sums are float32. CUDA cores are bound by
// multiply-adds. Tensor cores, by estimate, by shared memory: of a tile of 128 x 64 with 64 features forward moves
// 64 KB of q, k and v through L1, in 16 bits 32 KB of them to shared memory, and 144 KB from there to registers. That
// takes 1,900 cycles at 128 bytes each; 1 M multiply-adds take 1,000, exp of 8,192 numbers some 500.
#include "attention.cuh"

enum What { DQ, DK, DV };

// Every one of the neighbours that have a row's sums gets the result.
template <int LANES, typename T, typename F>
__device__ T row_reduce(T value, F f) {
  for (int bits = LANES / 2; bits; bits /= 2) value = f(value, __shfl_xor_sync(~0u, value, bits));
  return value;
}

// z += rows of a from m0 on, times rows of b from n0 on
template <bool SPARE, typename F, int COLUMNS, typename T>
__device__ void score(Tile<F, COLUMNS>& z, typename Tile<F, COLUMNS>::Memory& memory, const Head<T>& a, int m0,
                      const Head<T>& b, int n0) {
  using Z = Tile<F, COLUMNS>;
  const int m = m0 + Loader<F, Z::ROWS, Z::DEPTH>::place(true), n = n0 + Loader<F, COLUMNS, Z::DEPTH>::place(true);
  multiply<true, SPARE>(z, memory.room, a.row(m), b.row(n), 0, a.width);
}

// lengths: null, or of any integer type; they go to `ends` within 0..S. logs: (N, T, heads).
template <typename F, typename L>
__global__ void __launch_bounds__(256, 2)
    forward(const Stored<F>* q, const Stored<F>* k, const Stored<F>* v, const L* lengths, int* ends, Stored<F>* y,
            Stored<F>* logs, int queries, int S, int D, int V, int heads, int causal, Stored<F> scale) {
  using T = Stored<F>;
  using Z = Tile<F, 64>;
  __shared__ typename Z::Memory memory;
  const int tiles = (queries + Z::ROWS - 1) / Z::ROWS, t0 = blockIdx.x % tiles * Z::ROWS;
  const int h = blockIdx.x / tiles % heads, n = blockIdx.x / tiles / heads;
  const int first = blockIdx.y * FEATURES, feature = first + Loader<F, FEATURES, Z::DEPTH>::place(false);
  const long long length = lengths ? (long long)lengths[n] : S;
  const Sight seen{queries, S, int(length < 0 ? 0 : length < S ? length : S), causal};
  if (lengths && blockIdx.x == n * tiles * heads && blockIdx.y == 0 && threadIdx.x == 0) ends[n] = seen.end;
  __shared__ Head<T> qs, ks, vs;  // there they take no registers
  if (threadIdx.x == 0) {
    qs = head(q, n, h, queries, queries, D, heads), ks = head(k, n, h, S, seen.end, D, heads);
    vs = head(v, n, h, S, seen.end, V, heads);
  }
  __syncthreads();
  Z sums;
  T top[Z::OWN], total[Z::OWN] = {};
  for (int i = 0; i < Z::OWN; ++i) top[i] = -infinity<T>();
  for (int s0 = 0, end = seen.last(t0 + Z::ROWS - 1); s0 < end; s0 += 64) {
    Z z;
    score<sizeof(T) == 8>(z, memory, qs, t0, ks, s0);
#pragma unroll
    for (int i = 0; i < Z::OWN; ++i) {
      const T before = top[i];
      z.each(i, [&](int column, T& x, int) {
        x = seen(t0 + Z::row_of(i), s0 + column) ? x * scale : -infinity<T>();
        top[i] = Greater()(top[i], x);
      });
      top[i] = row_reduce<Z::LANES>(top[i], Greater());
      const T shift = top[i] == -infinity<T>() ? T(0) : top[i], shrunk = exp(before - shift);
      T sum = T(0);
      z.each(i, [&](int, T& x, int) { sum += x = exp(x - shift); });
      sums.each(i, [&](int, T& x, int) { x *= shrunk; });
      total[i] = total[i] * shrunk + row_reduce<Z::LANES>(sum, Plus());
    }
    multiply(z, memory, [&](int s) { return vs(s0 + s, feature); }, sums);
  }
#pragma unroll
  for (int i = 0; i < Z::OWN; ++i) {
    const int t = t0 + Z::row_of(i);
    if (t >= queries) continue;
    const long long row = ((long long)n * queries + t) * heads + h;
    const bool none = total[i] == T(0);  // it sees nothing
    if (blockIdx.y == 0 && threadIdx.x % Z::LANES == 0) logs[row] = none ? T(0) : top[i] + log(total[i]);
    sums.each(i, [&](int column, T x, int) {
      if (first + column < V) y[row * V + first + column] = none ? T(0) : x / total[i];
    });
  }
}

// What a product reads of a number.
template <typename F>
__device__ Stored<F> as_operand(Stored<F> x) {
  if constexpr (Format<F>::TENSOR) return F::number(F::round(x));
  else return x;
}

// out (rows,): a warp a row. dy as products read it, so that ds is 0 where one key has all the weight.
template <typename F>
__global__ void __launch_bounds__(256, 4)
    inner(const Stored<F>* y, const Stored<F>* dy, Stored<F>* out, long long rows, int V) {
  for (long long row = first() / 32; row < rows; row += stride() / 32) {
    Stored<F> sum = 0;
    for (int i = threadIdx.x % 32; i < V; i += 32) sum += y[row * V + i] * as_operand<F>(dy[row * V + i]);
    sum = warp_reduce(sum, Plus());
    if (threadIdx.x % 32 == 0) out[row] = sum;
  }
}

template <typename F, int WHAT>
__global__ void __launch_bounds__(256, 2)
    backward(const Stored<F>* q, const Stored<F>* k, const Stored<F>* v, const int* ends, const Stored<F>* dy,
             const Stored<F>* logs, const Stored<F>* inner, Stored<F>* out, int queries, int S, int D, int V, int heads,
             int causal, Stored<F> scale) {
  using T = Stored<F>;
  constexpr int COLUMNS = Format<F>::TENSOR ? 32 : 64;  // of two products at once: registers are short
  constexpr bool SPARE = sizeof(T) == 8 || (Format<F>::TENSOR && WHAT != DV);
  using Z = Tile<F, COLUMNS>;
  constexpr int QUERIES = WHAT == DQ ? Z::ROWS : COLUMNS;
  __shared__ typename Z::Memory memory;
  __shared__ T log_of[QUERIES], inner_of[QUERIES];
  const int rows = WHAT == DQ ? queries : S, width = WHAT == DV ? V : D, tiles = (rows + Z::ROWS - 1) / Z::ROWS;
  const int m0 = blockIdx.x % tiles * Z::ROWS, h = blockIdx.x / tiles % heads, n = blockIdx.x / tiles / heads;
  const int first = blockIdx.y * FEATURES, feature = first + Loader<F, FEATURES, Z::DEPTH>::place(false);
  const Sight seen{queries, S, ends ? ends[n] : S, causal};
  __shared__ Head<T> qs, ks, ds, vs, all_logs, all_inner;  // there they take no registers
  __shared__ T* to;
  if (threadIdx.x == 0) {
    qs = head(q, n, h, queries, queries, D, heads), ks = head(k, n, h, S, seen.end, D, heads);
    ds = head(dy, n, h, queries, queries, V, heads), vs = head(v, n, h, S, seen.end, V, heads);
    to = out + ((long long)n * rows * heads + h) * width;
    all_logs = head(logs, n, h, queries, queries, 1, heads), all_inner = head(inner, n, h, queries, queries, 1, heads);
  }
  __syncthreads();
  const Head<T>& right = WHAT == DQ ? ks : WHAT == DK ? qs : ds;
  const int start = WHAT == DQ ? 0 : seen.first(m0) / COLUMNS * COLUMNS;
  const int end = WHAT == DQ ? seen.last(m0 + Z::ROWS - 1) : m0 < seen.end ? queries : 0;
  Tile<F, FEATURES> sums;
  for (int n0 = start; n0 < end; n0 += COLUMNS) {
    const int t0 = WHAT == DQ ? m0 : n0, s0 = WHAT == DQ ? n0 : m0;
    if (threadIdx.x < QUERIES && t0 + threadIdx.x < queries) {
      log_of[threadIdx.x] = *all_logs.row(t0 + threadIdx.x).from;
      if (WHAT != DV) inner_of[threadIdx.x] = *all_inner.row(t0 + threadIdx.x).from;
    }
    Z z;
    score<SPARE>(z, memory, WHAT == DQ ? qs : ks, m0, WHAT == DQ ? ks : qs, n0);
#pragma unroll
    for (int i = 0; i < Z::OWN; ++i)
      z.each(i, [&](int column, T& x, int) {
        const int t = WHAT == DQ ? Z::row_of(i) : column, s = WHAT == DQ ? column : Z::row_of(i);
        x = seen(t0 + t, s0 + s) ? exp(x * scale - log_of[t]) : WHAT == DV ? T(0) : T(-1);  // no weight is negative
      });
    if constexpr (WHAT != DV) {
      const auto weights = z.put_aside(memory);
      score<SPARE>(z, memory, WHAT == DQ ? ds : vs, m0, WHAT == DQ ? vs : ds, n0);
#pragma unroll
      for (int i = 0; i < Z::OWN; ++i)
        z.each(i, [&](int column, T& x, int j) {
          const T p = weights(i, j);
          x = p < T(0) ? T(0) : p * (x - inner_of[WHAT == DQ ? Z::row_of(i) : column]);
        });
    }
    multiply(z, memory, [&](int i) { return right(n0 + i, feature); }, sums);
  }
#pragma unroll
  for (int i = 0; i < Z::OWN; ++i) {
    const int m = m0 + Z::row_of(i);
    if (m >= rows) continue;
    const bool padding = WHAT != DQ && m >= seen.end;  // 0 times a query or dy that is infinite is NaN
    sums.each(i, [&](int column, T x, int) {
      if (first + column < width)
        to[(long long)m * heads * width + first + column] = padding ? T(0) : WHAT == DV ? x : x * scale;
    });
  }
}
