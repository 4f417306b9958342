// RNN, LSTM and GRU over whole sequences, all steps in one cooperative launch: the weights stay in shared memory.
//
// Each block has 16 units: their columns of u forward and rows of u backward, 64 G H bytes in float32, are read once. A
// step then reads the states (backward, the gradients before the gates) of all sequences from L2, multiplies, and
// waits for the whole grid. Bound by the multiply-adds of 16 x 16 units a block, by that read and by the barrier.
#include "grid.cuh"
#include "gru.cuh"
#include "lstm.cuh"
#include "recurrent.cuh"
#include "rnn.cuh"

// 32 KB of what is multiplied with the weights, which lie behind it.
template <typename T>
constexpr int depth() { return 2048 / sizeof(T); }

template <typename T, typename Cell>
__global__ void __launch_bounds__(256, 2)
    forward(T* gates, const T* u, const T* bias, const T* h0, const T* c0, const int* lengths, T* y, T* h, T* c, T* saved,
            int N, int steps, int H, int reverse) {
  extern __shared__ __align__(16) double memory[];
  T *room = reinterpret_cast<T*>(memory), *weights = room + depth<T>() * ROWS;
  const Layer<T> q{lengths, N, steps, H, reverse, u, h0, c0, y, gates, saved};
  stage_gates<Cell::GATES>(weights, u, blockIdx.x * ROWS, 0, whole(H), H);
  for (int s = 0; s < steps; ++s) {
    if (s) grid_barrier();
    forward_step<Cell, true, depth<T>()>(q, bias, Ends<T>{h, c}, s, room, weights);
  }
}

template <typename T, typename Cell>
__global__ void __launch_bounds__(256, 2)
    backward(const T* gates, const T* u, const T* h0, const T* c0, const int* lengths, const T* y, const T* saved,
             const T* dy, const T* dh, const T* dc, T* dz, T* dp, T* carry, T* dh0, T* dc0, int N, int steps, int H,
             int reverse) {
  extern __shared__ __align__(16) double memory[];
  T *room = reinterpret_cast<T*>(memory), *weights = room + depth<T>() * ROWS;
  const Layer<T> q{lengths, N, steps, H, reverse, u, h0, c0, (T*)y, (T*)gates, (T*)saved};
  const int K = Cell::GATES * H, j = blockIdx.x * ROWS + threadIdx.x % ROWS;
  stage_rows(weights, j < H ? u + (long long)j * K : nullptr, 0, whole(K), K);
  for (int s = steps - 1; s >= -1; --s) {
    if (s < steps - 1) grid_barrier();
    backward_step<Cell, true, depth<T>()>(q, dy, Ends<const T>{dh, dc}, dz, dp, carry, Ends<T>{dh0, dc0}, s, room,
                                          weights);
  }
}
