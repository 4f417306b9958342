// Pooling of images (N, H, W, C): what each window gives, and what each pixel is given back.
//
//   LARGEST    y = the largest, and which element of the window it was, the first of several: 1 byte, 4 above 255
//   SUM, MEAN  y = the sum of the window's pixels in the image, or that over their number
//   back       dx = what the windows over a pixel send it, gathered by the pixel: it is written once, nothing is added
//              by two threads
//
// A thread does one element of the result; neighbours are neighbouring channels, so that loads lie side by side. forward
// reads x once where windows do not overlap (the rest comes from L1 and L2) and writes y and the codes: for windows of
// 2 x 2 in float32, 5.25 bytes a pixel; back reads those and writes dx. Bound by memory. Divisions in 64 bits are done
// in 32 where both numbers fit, by code that the compiler adds.
#include "common.cuh"

enum Kind { SUM, MEAN, LARGEST };

template <typename T, typename L>
__global__ void __launch_bounds__(256, 4)
    forward(int kind, const T* x, T* y, L* codes, int H, int W, int C, int OH, int OW, int KH, int KW, int SH, int SW,
            int top, int left, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long pixel = i / C, row = pixel / OW, image = row / OH;
    const int c = int(i - pixel * C), h = int(row - image * OH) * SH - top, w = int(pixel - row * OW) * SW - left;
    const int h0 = max(h, 0), h1 = min(h + KH, H), w0 = max(w, 0), w1 = min(w + KW, W);
    const T* in = x + image * H * W * C + c;
    if (kind == LARGEST) {
      T best = in[((long long)h0 * W + w0) * C];
      int code = (h0 - h) * KW + (w0 - w);
      for (int a = h0; a < h1; ++a)
#pragma unroll 2  // by fours it takes 64 registers and more
        for (int b = w0; b < w1; ++b) {
          const T v = in[((long long)a * W + b) * C];
          if (v > best || (v != v && best == best)) best = v, code = (a - h) * KW + (b - w);  // the first NaN stays
        }
      y[i] = best;
      codes[i] = L(code);
    } else {
      T total = T(0);
      for (int a = h0; a < h1; ++a)
#pragma unroll 2
        for (int b = w0; b < w1; ++b) total += in[((long long)a * W + b) * C];
      y[i] = kind == MEAN ? total / T((long long)(h1 - h0) * (w1 - w0)) : total;
    }
  }
}

// How many elements of window k, of K, are in the image of so many pixels.
__device__ inline int inside(int k, int K, int S, int before, int pixels) {
  return min(k * S - before + K, pixels) - max(k * S - before, 0);
}

template <typename T, typename L>
__global__ void __launch_bounds__(256, 4)
    back(int kind, const T* dy, const L* codes, T* dx, int H, int W, int C, int OH, int OW, int KH, int KW, int SH,
         int SW, int top, int left, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long pixel = i / C, row = pixel / W, image = row / H;
    const int c = int(i - pixel * C), h = int(row - image * H) + top, w = int(pixel - row * W) + left;
    const int a1 = min(h / SH, OH - 1), b1 = min(w / SW, OW - 1), b0 = w < KW ? 0 : (w - KW) / SW + 1;
    T total = T(0);
    for (int a = h < KH ? 0 : (h - KH) / SH + 1; a <= a1; ++a)
      for (int b = b0; b <= b1; ++b) {
        const long long at = ((image * OH + a) * OW + b) * C + c;
        if (kind == LARGEST)
          total += int(codes[at]) == (h - a * SH) * KW + (w - b * SW) ? dy[at] : T(0);
        else if (kind == MEAN)
          total += dy[at] / T((long long)inside(a, KH, SH, top, H) * inside(b, KW, SW, left, W));
        else
          total += dy[at];
      }
    dx[i] = total;
  }
}
