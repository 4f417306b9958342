// What the convolution kernels share: sizes, where the windows lie, and how images and weights are read.
//
// A convolution has a large image (N, H, W, C) and a small one (N, P, Q, O); the transposed one goes from small to
// large, as the input gradient of the other does. Pixel (p, q) and tap (kh, kw) meet pixel (p SH + kh DH - top,
// q SW + kw DW - left). Weights are (KH, KW, C / groups, O), or where `turned` (KH, KW, O, C / groups). Pixels are
// counted in 32 bits, elements in 64.
#pragma once
#include "tile.cuh"

constexpr int NOWHERE = 1 << 30;  // a row that no image has

struct Shape {
  int N, H, W, C, P, Q, O, KH, KW, SH, SW, DH, DW, top, left, groups;

  __device__ int large() const { return C / groups; }  // channels of a group
  __device__ int small() const { return O / groups; }
  __device__ long long weights() const { return (long long)KH * KW * large() * O; }
  // Of a tap, channel l of a large group and channel s of all small ones. What follows the last tap is the bias.
  __device__ long long weight(bool turned, int tap, int l, int s) const {
    return (long long)tap * large() * O + (turned ? (long long)s * large() + l : (long long)l * O + s);
  }
};

// One axis of the pixels that are computed, every step-th from the first: pixel number a and tap number t meet source
// pixel a scale + offset + t dilation, and that tap is number tap + t tap_step of the weights.
struct Axis {
  int first, step, count, scale, offset, dilation, tap, tap_step, taps;
};

// From large to small.
__device__ inline Axis gathered(int pixels, int taps, int stride, int dilation, int before) {
  return {0, 1, pixels, stride, -before, dilation, 0, 1, taps};
}

// From small to large, of the pixels whose number leaves this rest: the same taps meet them all, no product is wasted.
__device__ inline Axis spread_out(int rest, int pixels, int taps, int stride, int dilation, int before) {
  int tap = 0, tap_step = 1, found = 0;
  for (int k = taps - 1; k >= 0; --k) {
    if ((rest + before - k * dilation) % stride) continue;
    if (found++) tap_step = tap - k;
    tap = k;
  }
  const int offset = (rest + before - tap * dilation) / stride;
  const int count = pixels > rest ? (pixels - rest + stride - 1) / stride : 0;
  return {rest, stride, count, 1, offset, -(tap_step * dilation / stride), tap, tap_step, found};
}

// What a block computes: a group, and where it spreads, those pixels that leave one rest in either axis.
struct Part {
  Axis rows, columns;
  int group, ins, outs, pixels;  // channels that are read and written, of the group

  __device__ Part(const Shape& s, bool spread, int number) {
    const int rests = spread ? s.SH * s.SW : 1, rest = number % rests;
    group = number / rests;
    ins = spread ? s.small() : s.large(), outs = spread ? s.large() : s.small();
    rows = spread ? spread_out(rest / s.SW, s.H, s.KH, s.SH, s.DH, s.top) : gathered(s.P, s.KH, s.SH, s.DH, s.top);
    columns = spread ? spread_out(rest % s.SW, s.W, s.KW, s.SW, s.DW, s.left) : gathered(s.Q, s.KW, s.SW, s.DW, s.left);
    pixels = s.N * rows.count * columns.count;
  }
  __device__ int products() const { return rows.taps * columns.taps * ins; }
};

// Pixel number m of a part, and where it is in the image that is written.
struct Pixel {
  int n, a, b;
  __device__ Pixel(const Part& part, int m) {
    b = m % part.columns.count, m /= part.columns.count;
    a = m % part.rows.count, n = m / part.rows.count;
  }
  __device__ int written(const Part& p, const Shape& s, bool spread) const {
    const int y = p.rows.first + a * p.rows.step, x = p.columns.first + b * p.columns.step;
    return (n * (spread ? s.H : s.P) + y) * (spread ? s.W : s.Q) + x;
  }
};

// The first `count` of four numbers, in one store where rows of this pitch allow it.
template <typename T>
__device__ void write(const Pack<T>& p, T* to, int count, int pitch) {
  if (pitch % 4 == 0 && aligned(to)) {
    *reinterpret_cast<Pack<T>*>(to) = p;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i < count) to[i] = p.v[i];
}

// An image as it is read, or a gradient times the derivative of the activation: that of relu is told by the outputs
// kept, of others it is kept itself. `wide`: four channels in one load, where they lie so that this is allowed; in
// float64 it would take more registers than there are.
template <typename T>
struct Image {
  const T *x, *kept;
  bool relu, wide;

  __device__ Image(const T* x, const T* kept, bool relu, int channels)
      : x(x), kept(kept), relu(relu), wide(sizeof(T) == 4 && channels % 4 == 0 && aligned(x) && aligned(kept)) {}
  __device__ T slope(T k) const { return relu ? T(k > T(0)) : k; }
  __device__ T one(long long at) const { return kept ? x[at] * slope(kept[at]) : x[at]; }
  __device__ Pack<T> four(long long at) const {
    Pack<T> p = *reinterpret_cast<const Pack<T>*>(x + at);
    if (kept) {
      const Pack<T> k = *reinterpret_cast<const Pack<T>*>(kept + at);
#pragma unroll
      for (int i = 0; i < 4; ++i) p.v[i] *= slope(k.v[i]);
    }
    return p;
  }
};

// Four numbers: number i is what find(i) says, zero where that is negative.
template <typename T, typename F>
__device__ Pack<T> collect(const Image<T>& image, F find) {
  Pack<T> p = {};
  if (image.wide) {
    const long long at = find(0);
    return at < 0 ? p : image.four(at);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const long long at = find(i);
    p.v[i] = at < 0 ? T(0) : image.one(at);
  }
  return p;
}
