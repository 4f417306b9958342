// Convolution and its input gradient, of the plain and the transposed one: four sums, one kernel, an implicit GEMM.
//
//     y[n, p, q, o] = f(b[o] + sum of x[n, p SH + kh DH - top, q SW + kw DW - left, i] w[kh, kw, i, o])
//
// Rows of the product are pixels, columns are channels, and products run over taps and channels as one number, so that
// few channels (the first layer) leave nothing empty. GRADIENT: a gradient comes in, times the derivative of the
// activation; else bias and activation go out. `spread`: from the small image to the large one. A convolution gathers
// forward and spreads its gradient, a transposed one the other way round.
//
// A block computes 128 pixels (64 in float64) of BN channels: it reads windows of its pixels, mostly from L1 and L2,
// and all weights of its channels. From memory come images and weights, once at best; y goes there, and the slope where
// the activation is neither none nor relu. Bound by arithmetic from some 16 channels on, by what is written below.
#include "activation.cuh"
#include "conv.cuh"

// A pixel's window, product by product.
template <typename T>
struct Window {
  static constexpr bool along = true;
  Image<T> image;
  Axis rows, columns;
  Divisor by_channels, by_taps;
  int H, W, C, image_row, row, column, first_channel, end;

  __device__ Window(const Image<T>& image, const Shape& s, const Part& part, bool spread, int m)
      : image(image), rows(part.rows), columns(part.columns), by_channels(part.ins), by_taps(max(1, columns.taps)) {
    const Pixel at(part, m);
    H = spread ? s.P : s.H, W = spread ? s.Q : s.W, C = spread ? s.O : s.C;
    row = at.a * rows.scale + rows.offset, column = at.b * columns.scale + columns.offset;
    image_row = at.n * H, first_channel = part.group * part.ins;
    end = m < part.pixels ? part.products() : 0;
  }
  __device__ Pack<T> operator()(int first) const {
    return collect(image, [&](int i) -> long long {
      const int k = first + i;
      int channel, tap, t, u;
      by_channels(k, tap, channel), by_taps(tap, t, u);
      const int y = row + t * rows.dilation, x = column + u * columns.dilation;
      const bool inside = k < end && unsigned(y) < unsigned(H) && unsigned(x) < unsigned(W);
      return inside ? (long long)((image_row + y) * W + x) * C + first_channel + channel : -1;
    });
  }
};

// The weights of four products and a channel (ALONG), or of a product and four channels.
template <typename T, bool ALONG>
struct Weights {
  static constexpr bool along = ALONG;
  const Shape& s;
  const Part& part;
  Image<T> w;
  bool spread;
  int n, end;
  Divisor by_channels, by_taps;

  __device__ Weights(const T* w, const Shape& s, const Part& part, bool spread, int n)
      : s(s), part(part), w(w, nullptr, 0, ALONG ? part.ins : part.outs), spread(spread), n(n), end(part.products()),
        by_channels(part.ins), by_taps(max(1, part.columns.taps)) {}
  __device__ Pack<T> operator()(int first) const {
    return collect(w, [&](int i) -> long long {
      const int k = first + (ALONG ? i : 0), out = n + (ALONG ? 0 : i);
      int in, number, t, u;
      by_channels(k, number, in), by_taps(number, t, u);
      const int tap = (part.rows.tap + t * part.rows.tap_step) * s.KW + part.columns.tap + u * part.columns.tap_step;
      const int l = spread ? out : in, small = part.group * s.small() + (spread ? in : out);
      return k < end && out < part.outs ? s.weight(spread != ALONG, tap, l, small) : -1;
    });
  }
};

template <typename F, int BN, bool GRADIENT>
__global__ void __launch_bounds__(256, 2)
    convolve(const Stored<F>* x, const Stored<F>* kept, bool relu, const Stored<F>* w, const Stored<F>* b, Stored<F>* y,
             Stored<F>* slopes, int code, Stored<F> parameter, bool spread, Shape s) {
  using T = Stored<F>;
  constexpr int BM = 512 / sizeof(T), TM = BM * BN < 4096 ? 4 : BM * BN / 1024, DEPTH = 64 / sizeof(T);
  const Part part(s, spread, blockIdx.y);
  const int across = (part.outs + BN - 1) / BN, m0 = blockIdx.x / across * BM, n0 = blockIdx.x % across * BN;
  if (m0 >= part.pixels) return;

  __shared__ Room<F, BM, BN, DEPTH> room;
  Product<F, BM, BN, TM, DEPTH> tile;
  const Image<T> image(x, GRADIENT ? kept : nullptr, relu, part.ins);
  const Window<T> window(image, s, part, spread, m0 + Loader<F, BM, DEPTH>::place(true));
  const Weights<T, GRADIENT> weights(w, s, part, spread, n0 + Loader<F, BN, DEPTH>::place(GRADIENT));
  multiply(tile, room, window, weights, 0, part.products());

  const int channels = part.outs * s.groups;
  tile.finish(room, [&](int row, int column, const Pack<T>& sums) {
    const int m = m0 + row, n = n0 + column;
    if (m >= part.pixels || n >= part.outs) return;
    const long long first = part.group * part.outs + n;
    const long long at = (long long)Pixel(part, m).written(part, s, spread) * channels + first;
    Pack<T> out, slope;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const T z = sums.v[j] + (!GRADIENT && b && n + j < part.outs ? b[first + j] : T(0));
      out.v[j] = GRADIENT ? z : activate(code, parameter, z);
      if (!GRADIENT && slopes) slope.v[j] = activate_back(code, parameter, reads_x(code) ? z : out.v[j], T(1));
    }
    write(out, y + at, part.outs - n, part.outs);
    if (!GRADIENT && slopes) write(slope, slopes + at, part.outs - n, part.outs);
  });
}
