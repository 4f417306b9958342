// RNN, LSTM and GRU over whole sequences, all steps in one cooperative launch: the weights stay in shared memory.
//
// Each block has 16 units: their columns of u forward and rows of u backward, 16 G H numbers of the format, are read
// once. In a step it reads 16 rows of H states (backward, of G H gradients before the gates) from L2, multiplies them,
// and waits for the whole grid. What else a step reads, it asks for a step before.
//
// An estimate, of an LSTM with N = 64, H = 512 on an H100, whose 128 blocks read 2 MB a step forward and 8 MB backward
// in bf16, twice as much in tf32 and float32: 0.4 and 1.6 us at 5 TB/s. To that come three trips to L2, 1 to 1.5 us, of
// the barrier and of the first read, and the gates. The 16 x 64 x 512 multiply-adds of a block take 2.4 us on CUDA
// cores, and on tensor cores next to nothing.
#include "grid.cuh"
#include "gru.cuh"
#include "lstm.cuh"
#include "recurrent.cuh"
#include "rnn.cuh"

constexpr int STAGED = 32 << 10;  // bytes of what is not weights, which lie behind it

// `count` steps from s on, each for 16 sequences after 16.
template <typename Steps>
__device__ void take(const Steps& steps, int s, int count, int by) {
  const int first = blockIdx.y * ROWS;
  for (int n0 = first; count > 0;) {
    const int step = s, rows = n0;
    n0 += gridDim.y * ROWS;
    const bool last = n0 >= steps.q.N;
    if (last) n0 = first, s += by, --count;
    if (count > 0) steps.there(s, n0, Ask());
    steps.turn(step, rows);
    if (last && count > 0) grid_barrier();
  }
}

template <typename F, typename Cell>
__global__ void __launch_bounds__(256, 2)
    forward(Stored<F>* gates, const Stored<F>* u, const Stored<F>* bias, const Stored<F>* h0, const Stored<F>* c0,
            const int* lengths, Stored<F>* y, Stored<F>* h, Stored<F>* c, Stored<F>* saved, unsigned* handed, int N,
            int steps, int H, int reverse) {
  extern __shared__ __align__(16) unsigned char memory[];
  using Steps = Forward<F, Cell, true>;
  const Steps all{{lengths, N, steps, H, reverse, u, h0, c0, y, gates, saved}, bias, {h, c}, {handed, N, whole(H)},
                  {memory, memory + STAGED, u, H}};
  take(all, 0, steps, 1);
}

template <typename F, typename Cell>
__global__ void __launch_bounds__(256, 2)
    backward(const Stored<F>* gates, const Stored<F>* u, const Stored<F>* h0, const Stored<F>* c0, const int* lengths,
             const Stored<F>* y, const Stored<F>* saved, const Stored<F>* dy, const Stored<F>* dh, const Stored<F>* dc,
             Stored<F>* dz, Stored<F>* dp, Stored<F>* carry, Stored<F>* dh0, Stored<F>* dc0, unsigned* handed, int N,
             int steps, int H, int reverse) {
  using T = Stored<F>;
  extern __shared__ __align__(16) unsigned char memory[];
  using Steps = Backward<F, Cell, true>;
  const Steps all{{lengths, N, steps, H, reverse, u, h0, c0, (T*)y, (T*)gates, (T*)saved}, dy, {dh, dc}, dz, dp, carry,
                  {dh0, dc0}, {handed, N, Cell::GATES * whole(H)}, {memory, memory + STAGED, u, H}};
  take(all, steps - 1, steps + (dh0 || dc0), -1);
}
