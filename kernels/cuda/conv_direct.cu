// Convolution in groups of few channels (depthwise: of one) and its gradients, sum by sum.
//
// A product of matrices would be empty for the most part. Neighbouring threads take neighbouring channels. `direct`,
// for the sums that conv.cu has, reads image and weights once for each tap, mostly from L1; with one channel a group it
// is bound by memory. `direct_weights`, for those that conv_gradient.cu has: a thread sums up ROWS taps of a channel
// over some of the pixels of a part, from one read of the small image, and a block of them 32 channels. Images have
// less than 2^32 elements.
#include "activation.cuh"
#include "conv.cuh"

constexpr int ROWS = 5;  // two passes for windows of 3x3 and their bias

template <typename T, bool GRADIENT>
__global__ void __launch_bounds__(256, 3)
    direct(const T* x, const T* kept, bool relu, const T* w, const T* b, T* y, T* slopes, int code, T parameter,
           bool spread, Shape s) {
  const Part part(s, spread, blockIdx.y);  // of all groups
  const int height = spread ? s.P : s.H, width = spread ? s.Q : s.W, channels = part.outs * s.groups;
  const Image<T> image(x, GRADIENT ? kept : nullptr, relu, part.ins);
  const Divisor by_channels(channels), by_outs(part.outs);
  for (long long e = first(); e < (long long)part.pixels * channels; e += stride()) {
    int m, channel, group, out;
    by_channels(e, m, channel), by_outs(channel, group, out);
    const Pixel at(part, m);
    T z = !GRADIENT && b ? b[channel] : T(0);
    for (int t = 0; t < part.rows.taps; ++t) {
      for (int u = 0; u < part.columns.taps; ++u) {
        const int h = at.a * part.rows.scale + part.rows.offset + t * part.rows.dilation;
        const int v = at.b * part.columns.scale + part.columns.offset + u * part.columns.dilation;
        const bool inside = unsigned(h) < unsigned(height) && unsigned(v) < unsigned(width);
        const unsigned start = ((at.n * height + h) * width + v) * part.ins * s.groups + group * part.ins;
        const int tap = (part.rows.tap + t * part.rows.tap_step) * s.KW + part.columns.tap + u * part.columns.tap_step;
#pragma unroll 1
        for (int in = 0; in < part.ins; ++in) {  // mostly one
          const int l = spread ? out : in, small = group * s.small() + (spread ? in : out);
          z += (inside ? image.one(start + in) : T(0)) * w[s.weight(spread != GRADIENT, tap, l, small)];
        }
      }
    }
    const long long to = (long long)at.written(part, s, spread) * channels + channel;
    const T value = y[to] = GRADIENT ? z : activate(code, parameter, z);
    if (!GRADIENT && slopes) slopes[to] = activate_back(code, parameter, reads_x(code) ? z : value, T(1));
  }
}

// parts[part] as `products` of conv_gradient.cu leaves it. Without taps only the sum of the small image, of db.
template <typename T>
__global__ void __launch_bounds__(256, 2)
    direct_weights(const T* large, const T* kept_large, const T* small, const T* kept_small, bool relu, bool turned,
                   int rows, int share, long long length, T* parts, Shape s) {
  __shared__ T room[8][32];
  const int across = (s.O + 31) / 32, lane = threadIdx.x / 32, K = s.KH * s.KW * s.large();
  const int channel = blockIdx.x % across * 32 + threadIdx.x % 32, first_row = blockIdx.x / across * ROWS;
  const int end = channel < s.O ? min((int)(blockIdx.y + 1) * share, s.N * s.P * s.Q) : 0;
  const Image<T> seen(large, kept_large, relu, s.large()), given(small, kept_small, relu, s.small());
  const Divisor by_columns(s.Q), by_rows(s.P);
  int top_of[ROWS], left_of[ROWS];
  unsigned offset[ROWS];
  T sums[ROWS] = {};
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int m = first_row + r, tap = m / s.large();
    top_of[r] = m < K ? tap / s.KW * s.DH - s.top : NOWHERE, left_of[r] = m < K ? tap % s.KW * s.DW - s.left : 0;
    offset[r] = (unsigned(top_of[r]) * s.W + left_of[r]) * s.C + channel / s.small() * s.large() + m % s.large();
  }
#pragma unroll 1
  for (int pixel = blockIdx.y * share + lane; pixel < end; pixel += 8) {
    int row, n, p, q;
    by_columns(pixel, row, q), by_rows(row, n, p);
    const unsigned start = ((n * s.H + p * s.SH) * s.W + q * s.SW) * s.C;
    const T d = given.one((long long)pixel * s.O + channel);
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const int h = p * s.SH + top_of[r], v = q * s.SW + left_of[r];
      const bool inside = unsigned(h) < unsigned(s.H) && unsigned(v) < unsigned(s.W);
      sums[r] += (inside ? seen.one(start + offset[r]) : T(first_row + r == K)) * d;
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int m = first_row + r;
    room[lane][threadIdx.x % 32] = sums[r];
    __syncthreads();
    T sum = T(0);
    for (int other = 0; lane == 0 && other < 8; ++other) sum += room[other][threadIdx.x];
    if (lane == 0 && m < rows && channel < s.O)
      parts[blockIdx.y * length + s.weight(turned, m / s.large(), m % s.large(), channel)] = sum;
    __syncthreads();
  }
}
