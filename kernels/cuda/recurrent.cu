// RNN, LSTM and GRU over whole sequences, a launch for each step; `recurrent_grid.cu` does all steps in one.
//
//   inputs      z = x w + b for all steps at once; forward turns z into gates, step by step
//   forward     one step: z + h u, gates, states
//   backward    one step: dh = dz u^T of the step after, and from it dz of this one
//   inputs_back dx = dz w^T for all steps at once
//   weights     [x, 1]^T dz and [h before, 1]^T dp over all steps: dw, db, du, dbn; split among blocks, `add` sums up
//
// A step reads the recurrent weights, 4 G H^2 bytes in float32, once for every 16 sequences, from L2 where they fit; it
// is bound by that and by its latency. The products over all steps are bound by multiply-adds.
#include "gemm.cuh"
#include "gru.cuh"
#include "lstm.cuh"
#include "recurrent.cuh"
#include "rnn.cuh"

// lengths: null, or of any integer type; they go to `inside` within 0..steps.
template <typename F, typename L>
__global__ void __launch_bounds__(256, 2)
    inputs(const Stored<F>* x, const Stored<F>* w, const Stored<F>* b, const L* lengths, int* inside, Stored<F>* z, int N,
           int steps, int I, int columns) {
  __shared__ Stage<F, TILE> stage;
  if (lengths && blockIdx.x == 0 && blockIdx.y == 0)
    for (int n = threadIdx.x; n < N; n += 256) {
      const long long length = lengths[n];
      inside[n] = int(length < 0 ? 0 : length < steps ? length : steps);
    }
  const Operand<Plain<Stored<F>>> left{{x}, I, 1, N * steps}, right{{w}, 1, columns, columns};
  const int block = blockIdx.x * gridDim.y + blockIdx.y;
  tile_of_product<F, TILE>(stage, block, left, right, {I}, [=](int, int row, int column, Stored<F> sum) {
    z[(long long)row * columns + column] = sum + b[column];
  });
}

template <typename T, typename Cell>
__global__ void __launch_bounds__(256, 2)
    forward(T* gates, const T* u, const T* bias, const T* h0, const T* c0, const int* lengths, T* y, T* h, T* c, T* saved,
            int N, int steps, int H, int reverse, int s) {
  constexpr int DEPTH = 256 / sizeof(T), MOST = DEPTH < 64 ? 1024 : DEPTH * ROWS;
  __shared__ Quad<T> room[MOST * (1 + Cell::GATES) / 4];
  const Layer<T> q{lengths, N, steps, H, reverse, u, h0, c0, y, gates, saved};
  forward_step<Cell, false, DEPTH>(q, bias, Ends<T>{h, c}, s, room->v, room->v + DEPTH * ROWS);
}

template <typename T, typename Cell>
__global__ void __launch_bounds__(256, 2)
    backward(const T* gates, const T* u, const T* h0, const T* c0, const int* lengths, const T* y, const T* saved,
             const T* dy, const T* dh, const T* dc, T* dz, T* dp, T* carry, T* dh0, T* dc0, int N, int steps, int H,
             int reverse, int s) {
  constexpr int DEPTH = 128;
  __shared__ Quad<T> room[DEPTH * ROWS * 2 / 4];
  const Layer<T> q{lengths, N, steps, H, reverse, u, h0, c0, (T*)y, (T*)gates, (T*)saved};
  backward_step<Cell, false, DEPTH>(q, dy, Ends<const T>{dh, dc}, dz, dp, carry, Ends<T>{dh0, dc0}, s, room->v,
                                    room->v + DEPTH * ROWS);
}

template <typename F>
__global__ void __launch_bounds__(256, 2)
    inputs_back(const Stored<F>* dz, const Stored<F>* w, Stored<F>* dx, int rows, int I, int columns) {
  __shared__ Stage<F, TILE> stage;
  const Operand<Plain<Stored<F>>> left{{dz}, columns, 1, rows}, right{{w}, columns, 1, I};
  const int block = blockIdx.x * gridDim.y + blockIdx.y;
  tile_of_product<F, TILE>(stage, block, left, right, {columns}, [=](int, int row, int i, Stored<F> sum) {
    dx[(long long)row * I + i] = sum;
  });
}

// The rows of both products one under another: I of dw, db, H of du and, of the GRU, dbn.
template <typename T>
struct Gradients {
  T *dw, *db, *du, *dbn;
  int I, H, columns;

  __device__ void put(int row, int column, T sum) const {
    if (row < I) { if (dw) dw[(long long)row * columns + column] = sum; }
    else if (row == I) { if (db) db[column] = sum; }
    else if (row <= I + H) { if (du) du[(long long)(row - I - 1) * columns + column] = sum; }
    else if (column >= 2 * H && dbn) dbn[column - 2 * H] = sum;
  }
};

// Block (tile of columns, tile of rows, part); each part is so many steps of all N steps. parts: null where it is one.
// The first `by_x` of all `height` rows are multiplied with dz, the others with dp.
template <typename T>
__global__ void __launch_bounds__(256, 2)
    weights(const T* x, const T* y, const T* h0, const int* lengths, const T* dz, const T* dp, T* parts, int each, T* dw,
            T* db, T* du, T* dbn, int N, int steps, int I, int H, int columns, int by_x, int height, int reverse) {
  const Layer<T> q{lengths, N, steps, H, reverse, nullptr, h0, nullptr, (T*)y, nullptr, nullptr};
  const Gradients<T> to{dw, db, du, dbn, I, H, columns};
  const int all = N * steps, of_x = (by_x + TILE - 1) / TILE, tile = blockIdx.y;
  const int k0 = blockIdx.z * each, k1 = k0 + each < all ? k0 + each : all;
  const int m0 = tile < of_x ? tile * TILE : by_x + (tile - of_x) * TILE, end = tile < of_x ? by_x : height;
  const int n0 = blockIdx.x * TILE;
  const T* right = tile < of_x ? dz : dp;
  T sums[4][4] = {};
  tile_product<false, false>(
      m0, n0, k0, k1,
      [=](int m, int k) {
        if (m >= end) return T(0);
        if (m == I || m > I + H) return T(1);
        const int n = unsigned(k) / unsigned(steps), t = k - n * steps, s = reverse ? steps - 1 - t : t;
        if (q.row(n, s) < 0) return T(0);  // not what is there: it may be NaN
        if (m < I) return x[(long long)k * I + m];
        const long long before = q.row(n, s - 1), j = m - I - 1;
        return before < 0 ? h0[(long long)n * H + j] : y[before * H + j];
      },
      [=](int column, int k) { return column < columns ? right[(long long)k * columns + column] : T(0); }, sums);
  tile_each(m0, n0, sums, [=](int m, int column, T sum) {
    if (m >= end || column >= columns) return;
    if (parts) parts[((long long)blockIdx.z * height + m) * columns + column] = sum;
    else to.put(m, column, sum);
  });
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    add(const T* parts, int count, T* dw, T* db, T* du, T* dbn, int I, int H, int columns, int height) {
  const Gradients<T> to{dw, db, du, dbn, I, H, columns};
  const long long n = (long long)height * columns;
  for (long long i = first(); i < n; i += stride()) {
    const int row = int(i / columns);
    T sum = parts[i];
#pragma unroll 2
    for (int part = 1; part < count; ++part) sum += parts[part * n + i];
    to.put(row, int(i - (long long)row * columns), sum);
  }
}
