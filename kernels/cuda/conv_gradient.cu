// Gradients of the weights and the bias of a convolution, plain or transposed, in two passes.
//
//     dw[kh, kw, l, s] = sum of large[n, p SH + kh DH - top, q SW + kw DW - left, l] small[n, p, q, s] over n, p, q
//
// One of the two images is a gradient, times the derivative of the activation as it is read. `products`: an implicit
// GEMM whose rows are taps and channels, whose products run over pixels. These are split into parts, so that a few
// weights fill the GPU too, and `add` adds what came of the parts, in their order. Where the small image is the
// gradient one more row, of ones, is the gradient of the bias.
//
// Reads each image once for BM rows and BN columns of dw: bound by arithmetic, with few channels by L2. The tile of
// 16 x 32 is for windows on few channels, where one of 64 x 64 would be empty for the most part.
#include "conv.cuh"

// Four rows of dw, that is taps and channels, at one pixel.
template <typename T>
struct Taps {
  static constexpr bool along = false;
  const Shape& s;
  Image<T> large;
  Divisor by_columns, by_rows;
  int end, ones, y[4], x[4], channel[4];

  __device__ Taps(const Image<T>& large, const Shape& s, int group, int m, int rows, int end)
      : s(s), large(large), by_columns(s.Q), by_rows(s.P), end(end), ones(-1) {
    const int K = s.KH * s.KW * s.large();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int tap = (m + i) / s.large();
      y[i] = m + i < K ? tap / s.KW * s.DH - s.top : NOWHERE;
      x[i] = tap % s.KW * s.DW - s.left, channel[i] = group * s.large() + (m + i) % s.large();
      if (m + i == K && K < rows) ones = i;
    }
  }
  __device__ Pack<T> operator()(int pixel) const {
    int p, q, n, row;
    by_columns(pixel, row, q), by_rows(row, n, p);
    Pack<T> found = collect(large, [&](int i) -> long long {
      const int h = p * s.SH + y[i], w = q * s.SW + x[i];
      const bool inside = pixel < end && unsigned(h) < unsigned(s.H) && unsigned(w) < unsigned(s.W);
      return inside ? (long long)((n * s.H + h) * s.W + w) * s.C + channel[i] : -1;
    });
#pragma unroll
    for (int i = 0; i < 4; ++i) found.v[i] = i == ones ? T(pixel < end) : found.v[i];
    return found;
  }
};

// Four columns of dw, that is channels of the small image, at one pixel.
template <typename T>
struct Channels {
  static constexpr bool along = false;
  Image<T> small;
  int O, first, count, end;

  __device__ Channels(const Image<T>& small, const Shape& s, int group, int n, int end)
      : small(small), O(s.O), first(group * s.small() + n), count(s.small() - n), end(end) {}
  __device__ Pack<T> operator()(int pixel) const {
    return collect(small, [&](int i) { return pixel < end && i < count ? (long long)pixel * O + first + i : -1; });
  }
};

// parts[part] = the rows of dw, and of db where there is one row more, from this part's share of the pixels.
template <typename F, int BM>
__global__ void __launch_bounds__(256, 2)
    products(const Stored<F>* large, const Stored<F>* kept_large, const Stored<F>* small, const Stored<F>* kept_small,
             bool relu, bool turned, int rows, int share, long long length, Stored<F>* parts, Shape s) {
  using T = Stored<F>;
  constexpr int BN = BM == 64 ? 64 : 32, TM = BM == 64 ? 32 / sizeof(T) : 4, DEPTH = (BM == 64 ? 64 : 256) / sizeof(T);
  const int across = (s.small() + BN - 1) / BN, group = blockIdx.z;
  const int m0 = blockIdx.x / across * BM, n0 = blockIdx.x % across * BN;
  const int begin = blockIdx.y * share, end = min(begin + share, s.N * s.P * s.Q);

  __shared__ Room<F, BM, BN, DEPTH> room;
  Product<F, BM, BN, TM, DEPTH> tile;
  const Image<T> first(large, kept_large, relu, s.large()), second(small, kept_small, relu, s.small());
  const Taps<T> taps(first, s, group, m0 + Loader<F, BM, DEPTH>::place(false), rows, end);
  const Channels<T> channels(second, s, group, n0 + Loader<F, BN, DEPTH>::place(false), end);
  multiply(tile, room, taps, channels, begin, end);

  parts += blockIdx.y * length;
  tile.finish(room, [&](int row, int column, const Pack<T>& p) {
    const int m = m0 + row, n = n0 + column, tap = m / s.large(), l = m % s.large();
    if (m >= rows || n >= s.small()) return;
    if (!turned) write(p, parts + s.weight(false, tap, l, group * s.small() + n), s.small() - n, s.small());
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (turned && n + j < s.small()) parts[s.weight(true, tap, l, group * s.small() + n + j)] = p.v[j];
  });
}

// dw and db (null: not wanted), one after the other in each of the parts; `lanes` threads share the sum of an element.
template <typename T>
__global__ void __launch_bounds__(256, 4)
    add(const T* parts, int count, int lanes, long long length, long long weights, T* dw, T* db) {
  __shared__ T room[THREADS];
  const int width = THREADS / lanes, lane = threadIdx.x / width;
  const long long i = (long long)blockIdx.x * width + threadIdx.x % width;
  T sum = T(0);
  for (int part = lane; part < count && i < length; part += lanes) sum += parts[part * length + i];
  room[threadIdx.x] = sum;
  __syncthreads();
  if (lane || i >= length) return;
  for (int other = 1; other < lanes; ++other) sum += room[other * width + threadIdx.x];
  if (i < weights && dw) dw[i] = sum;
  if (i >= weights && db) db[i - weights] = sum;
}
