// RNN, LSTM and GRU over whole sequences, a launch for each step; `recurrent_grid.cu` does all steps in one.
//
//   inputs      z = x w + b for all steps at once; forward turns z into gates, step by step
//   forward     one step: z + h u, gates, states
//   backward    one step: dh = dz u^T of the step after, and from it dz of this one
//   inputs_back dx = dz w^T for all steps at once
//   weights     [x, 1]^T dz and [h before, 1]^T dp over all steps: dw, db, du, dbn; split among blocks, `add` sums up
//
// A step reads the recurrent weights, 4 G H^2 bytes, once for every 16 sequences, from L2 where they fit; it is bound
// by that and by its latency. The products over all steps are bound by multiply-adds.
#include "gemm.cuh"
#include "gru.cuh"
#include "lstm.cuh"
#include "recurrent.cuh"
#include "rnn.cuh"

// lengths: null, or of any integer type; they go to `inside` within 0..steps. h0 is handed to the first step.
template <typename F, int SIDE, typename L>
__global__ void __launch_bounds__(256, 2)
    inputs(const Stored<F>* x, const Stored<F>* w, const Stored<F>* b, const Stored<F>* h0, const L* lengths,
           int* inside, unsigned* handed, Stored<F>* z, int N, int steps, int I, int H, int columns) {
  __shared__ Stage<F, SIDE> stage;
  if (lengths && blockIdx.x == 0)
    for (int n = threadIdx.x; n < N; n += 256) {
      const long long length = lengths[n];
      inside[n] = int(length < 0 ? 0 : length < steps ? length : steps);
    }
  const Handed<F> first(handed, N, whole(H));
  for (int n = blockIdx.x; Format<F>::TENSOR && n < N; n += gridDim.x)
    for (int j = threadIdx.x; j < whole(H); j += 256) first.put(0, n, j, j < H ? h0[(long long)n * H + j] : 0);
  const Operand<Plain<Stored<F>>> left{{x}, I, 1, N * steps}, right{{w}, 1, columns, columns};
  tile_of_product<F, SIDE>(stage, blockIdx.x, left, right, {I}, [=](int, int row, int column, Stored<F> sum) {
    z[(long long)row * columns + column] = sum + b[column];
  });
}

template <typename Steps>
__device__ void take(const Steps& steps, int s) {
  for (int n0 = blockIdx.y * ROWS; n0 < steps.q.N; n0 += gridDim.y * ROWS) steps.turn(s, n0);
}

template <typename F, typename Cell>
__global__ void __launch_bounds__(256, 2)
    forward(Stored<F>* gates, const Stored<F>* u, const Stored<F>* bias, const Stored<F>* h0, const Stored<F>* c0,
            const int* lengths, Stored<F>* y, Stored<F>* h, Stored<F>* c, Stored<F>* saved, unsigned* handed, int N,
            int steps, int H, int reverse, int s) {
  using Steps = Forward<F, Cell, false>;
  __shared__ uint4 room[Steps::Product::BYTES / sizeof(uint4)];
  const Steps one{{lengths, N, steps, H, reverse, u, h0, c0, y, gates, saved}, bias, {h, c}, {handed, N, whole(H)},
                  {room, nullptr, u, H}};
  take(one, s);
}

template <typename F, typename Cell>
__global__ void __launch_bounds__(256, 2)
    backward(const Stored<F>* gates, const Stored<F>* u, const Stored<F>* h0, const Stored<F>* c0, const int* lengths,
             const Stored<F>* y, const Stored<F>* saved, const Stored<F>* dy, const Stored<F>* dh, const Stored<F>* dc,
             Stored<F>* dz, Stored<F>* dp, Stored<F>* carry, Stored<F>* dh0, Stored<F>* dc0, unsigned* handed, int N,
             int steps, int H, int reverse, int s) {
  using T = Stored<F>;
  using Steps = Backward<F, Cell, false>;
  __shared__ uint4 room[Steps::Product::BYTES / sizeof(uint4)];
  const Steps one{{lengths, N, steps, H, reverse, u, h0, c0, (T*)y, (T*)gates, (T*)saved}, dy, {dh, dc}, dz, dp, carry,
                  {dh0, dc0}, {handed, N, Cell::GATES * whole(H)}, {room, nullptr, u, H}};
  take(one, s);
}

template <typename F, int SIDE>
__global__ void __launch_bounds__(256, 2)
    inputs_back(const Stored<F>* dz, const Stored<F>* w, Stored<F>* dx, int rows, int I, int columns) {
  __shared__ Stage<F, SIDE> stage;
  const Operand<Plain<Stored<F>>> left{{dz}, columns, 1, rows}, right{{w}, columns, 1, I};
  tile_of_product<F, SIDE>(stage, blockIdx.x, left, right, {columns}, [=](int, int row, int i, Stored<F> sum) {
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

// Rows of the left sides, a step in the upper half of `at`, its place in the lower; 0 where a sequence has no such step,
// whatever is there.
constexpr long long APART = 1ll << 32;

template <typename T>
struct Input {
  const T* x;
  const int* lengths;
  Divisor by_steps;
  int I;
  __device__ T operator()(long long at) const {
    const int k = int(at >> 32), i = int(at);
    int n, t;
    by_steps(k, n, t);
    return lengths && t >= lengths[n] ? T(0) : x[(long long)k * I + i];
  }
};
template <typename T>
struct Before {
  const T *y, *h0;
  const int* lengths;
  Divisor by_steps;
  int H, steps, reverse;
  __device__ T operator()(long long at) const {
    const int k = int(at >> 32), j = int(at);
    int n, t;
    by_steps(k, n, t);
    const int length = lengths ? lengths[n] : steps, before = reverse ? t + 1 : t - 1;
    if (t >= length) return T(0);
    return before < 0 || before >= length ? h0[(long long)n * H + j] : y[((long long)k + before - t) * H + j];
  }
};

// The first x_blocks make dw and db, the others du and, of the GRU, dbn; `count` blocks share all steps. parts: null
// where it is one.
template <typename F, int SIDE>
__global__ void __launch_bounds__(256, 2)
    weights(const Stored<F>* x, const Stored<F>* y, const Stored<F>* h0, const int* lengths, const Stored<F>* dz,
            const Stored<F>* dp, Stored<F>* parts, int count, Stored<F>* dw, Stored<F>* db, Stored<F>* du,
            Stored<F>* dbn, int N, int steps, int I, int H, int columns, int x_blocks, int height, int reverse) {
  using T = Stored<F>;
  __shared__ Stage<F, SIDE> stage;
  const Gradients<T> to{dw, db, du, dbn, I, H, columns};
  const auto put = [=](int part, int row, int column, T sum) {
    if (parts) parts[((long long)part * height + row) * columns + column] = sum;
    else to.put(row, column, sum);
  };
  const Divisor by_steps(steps);
  const Depth depth{N * steps, count};
  if (blockIdx.x < x_blocks) {
    const Operand<Input<T>> left{{x, lengths, by_steps, I}, 1, APART, I, true};
    const Operand<Plain<T>> right{{dz}, 1, columns, columns};
    tile_of_product<F, SIDE>(stage, blockIdx.x, left, right, depth, put);
  } else {
    const Operand<Before<T>> left{{y, h0, lengths, by_steps, H, steps, reverse}, 1, APART, H, height > I + 1 + H};
    const Operand<Plain<T>> right{{dp}, 1, columns, columns};
    tile_of_product<F, SIDE>(stage, blockIdx.x - x_blocks, left, right, depth, [=](int part, int j, int column, T sum) {
      put(part, I + 1 + j, column, sum);
    });
  }
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
