// Softmax, its logarithm and cross-entropy: rows of C classes.
//
// A row is the work of a team: one warp where C is small, a block of 256 threads where it is large. It is read from
// memory once, for its largest value; what follows finds it in L1 or L2. The cross-entropy leaves the gradient of the
// logits, for a gradient of 1 of the loss, which is what training asks for: 8 bytes an element in float32, and backward
// has nothing to do. A NaN in a row makes its sum of e NaN, and with it all that comes out.
//
// mean and sum: where one block does all rows it adds up the losses too; else `total` does, as a second launch.
#include "common.cuh"

template <int TEAM>
__device__ int first_row() { return TEAM == 32 ? blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32 : blockIdx.x; }
template <int TEAM>
__device__ int next_row() { return TEAM == 32 ? gridDim.x * (blockDim.x / 32) : gridDim.x; }
template <int TEAM>
__device__ int lane() { return threadIdx.x % TEAM; }

// e = exp(x - max x) of one row: (max x, sum of e) for every thread of the team.
template <int TEAM, typename T>
__device__ void exponentials(const T* x, T* e, int C, T& top, T& total) {
  top = -infinity<T>(), total = T(0);
  for (int c = lane<TEAM>(); c < C; c += TEAM) top = Greater()(top, x[c]);
  top = team_reduce<TEAM>(top, -infinity<T>(), Greater());
  for (int c = lane<TEAM>(); c < C; c += TEAM) total += e[c] = exp(x[c] - top);
  total = team_reduce<TEAM>(total, T(0), Plus());
}

template <typename T, int TEAM>
__global__ void __launch_bounds__(256, 4) softmax(const T* x, T* y, int rows, int C) {
  for (int r = first_row<TEAM>(); r < rows; r += next_row<TEAM>()) {
    T *out = y + (long long)r * C, top, total;
    exponentials<TEAM>(x + (long long)r * C, out, C, top, total);
    const T factor = T(1) / total;
    for (int c = lane<TEAM>(); c < C; c += TEAM) out[c] *= factor;
  }
}

// dx = y (dy - sum of y dy)
template <typename T, int TEAM>
__global__ void __launch_bounds__(256, 4) softmax_back(const T* y, const T* dy, T* dx, int rows, int C) {
  for (int r = first_row<TEAM>(); r < rows; r += next_row<TEAM>()) {
    const T *p = y + (long long)r * C, *d = dy + (long long)r * C;
    T inner = T(0);
    for (int c = lane<TEAM>(); c < C; c += TEAM) inner += p[c] * d[c];
    inner = team_reduce<TEAM>(inner, T(0), Plus());
    for (int c = lane<TEAM>(); c < C; c += TEAM) dx[(long long)r * C + c] = p[c] * (d[c] - inner);
  }
}

template <typename T, int TEAM>
__global__ void __launch_bounds__(256, 4) log_softmax(const T* x, T* y, int rows, int C) {
  for (int r = first_row<TEAM>(); r < rows; r += next_row<TEAM>()) {
    const T* in = x + (long long)r * C;
    T *out = y + (long long)r * C, top, total;
    exponentials<TEAM>(in, out, C, top, total);
    total = log(total);
    // Never x - (top + total), which loses what is left of a small difference of large logits.
    for (int c = lane<TEAM>(); c < C; c += TEAM) out[c] = (in[c] - top) - total;
  }
}

// dx = dy - exp(y) sum of dy
template <typename T, int TEAM>
__global__ void __launch_bounds__(256, 4) log_softmax_back(const T* y, const T* dy, T* dx, int rows, int C) {
  for (int r = first_row<TEAM>(); r < rows; r += next_row<TEAM>()) {
    const T *p = y + (long long)r * C, *d = dy + (long long)r * C;
    T inner = T(0);
    for (int c = lane<TEAM>(); c < C; c += TEAM) inner += d[c];
    inner = team_reduce<TEAM>(inner, T(0), Plus());
    for (int c = lane<TEAM>(); c < C; c += TEAM) dx[(long long)r * C + c] = d[c] - exp(p[c]) * inner;
  }
}

// out[0] = scale * the sum of the losses, in float64; of one block.
template <typename T>
__device__ void add_up(const T* losses, int rows, double scale, T* out) {
  double sum = 0;
  for (int r = threadIdx.x; r < rows; r += 256) sum += losses[r];
  sum = block_reduce<256>(sum, 0.0, Plus());
  if (threadIdx.x == 0) out[0] = T(sum * scale);
}

template <typename T>
__global__ void __launch_bounds__(256, 4) total(const T* losses, int rows, double scale, T* out) {
  add_up(losses, rows, scale, out);
}

template <int TEAM, typename T>
__device__ void finish(const T* losses, int rows, double scale, T* out) {
  if (out == nullptr) return;
  __syncthreads();  // all losses of this block, the only one, are written
  add_up(losses, rows, scale, out);
}

// losses[r] = -sum of q log p with q = 1 - s at the label plus s / C everywhere; out: null, or where their sum goes.
// dx = (p - q) scale.
template <typename T, int TEAM, typename L>
__global__ void __launch_bounds__(256, 3)  // four would not leave float64 the registers that it needs
    labels(const T* x, const L* labels, T s, T* losses, T* dx, int rows, int C, double scale, T* out) {
  for (int r = first_row<TEAM>(); r < rows; r += next_row<TEAM>()) {
    const T* in = x + (long long)r * C;
    T *d = dx + (long long)r * C, top, sum, rest = T(0);
    exponentials<TEAM>(in, d, C, top, sum);
    const T log_sum = log(sum), low = s / C;
    if (s != T(0)) {
      for (int c = lane<TEAM>(); c < C; c += TEAM) rest -= ((in[c] - top) - log_sum) * low;  // a bare sum may overflow
      rest = team_reduce<TEAM>(rest, T(0), Plus());
    }
    const long long label = labels[r];
    const bool inside = label >= 0 && label < C;  // outside, NaN, so that it cannot pass unseen
    if (lane<TEAM>() == 0)
      losses[r] = inside ? -((in[label] - top) - log_sum) * (T(1) - s) + rest : not_a_number<T>();
    const T factor = inside ? T(1) / sum : not_a_number<T>();
    for (int c = lane<TEAM>(); c < C; c += TEAM)
      d[c] = (d[c] * factor - (low + (c == label ? T(1) - s : T(0)))) * T(scale);
  }
  finish<TEAM>(losses, rows, scale, out);
}

// The same with a distribution (rows, C) as target; it need not sum to one: dx = (p sum q - q) scale.
template <typename T, int TEAM>
__global__ void __launch_bounds__(256, 4)
    targets(const T* x, const T* target, T s, T* losses, T* dx, int rows, int C, double scale, T* out) {
  for (int r = first_row<TEAM>(); r < rows; r += next_row<TEAM>()) {
    const T *in = x + (long long)r * C, *wanted = target + (long long)r * C;
    T *d = dx + (long long)r * C, top, sum, loss = T(0), weight = T(0);
    exponentials<TEAM>(in, d, C, top, sum);
    const T log_sum = log(sum);
    for (int c = lane<TEAM>(); c < C; c += TEAM) {
      const T q = wanted[c] * (T(1) - s) + s / C;
      weight += q;
      loss -= q != T(0) ? q * ((in[c] - top) - log_sum) : q;  // a masked class may have a logit of -inf
    }
    loss = team_reduce<TEAM>(loss, T(0), Plus());
    const T factor = team_reduce<TEAM>(weight, T(0), Plus()) / sum;
    if (lane<TEAM>() == 0) losses[r] = loss;
    for (int c = lane<TEAM>(); c < C; c += TEAM)
      d[c] = (d[c] * factor - (wanted[c] * (T(1) - s) + s / C)) * T(scale);
  }
  finish<TEAM>(losses, rows, scale, out);
}

// out = dx times the gradient of each row's loss (each = C), or that of all (each = n).
template <typename T>
__global__ void __launch_bounds__(256, 4) scaled(const T* dx, const T* dloss, long long each, T* out, long long n) {
  for (long long i = first(); i < n; i += stride()) out[i] = dx[i] * dloss[i / each];
}
