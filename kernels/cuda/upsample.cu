// Bilinear upsampling of images (N, H, W, C) to (N, H FH, W FW, C), and its transpose. Nearest is pooling: see pool.cu.
//
// A thread does one element of the result; neighbours are neighbouring channels. forward reads up to four pixels, most of
// them from L1, and writes one; back gathers what an old pixel gave to the new ones around it, so that nothing is added
// by two threads. 4 (1 + FH FW) bytes an old element in float32; bound by memory.
#include "common.cuh"

// New line `at` has `low` of old line `line` and the rest of the next one; both are held inside 0..n-1.
template <typename T>
__device__ void lines(int at, int factor, int n, int& line, int& next, T& low) {
  const T place = (T(at) + T(0.5)) / T(factor) - T(0.5), down = floor(place);
  line = max(int(down), 0), next = min(int(down) + 1, n - 1), low = T(1) - (place - down);
}

// a weight of 0 does not count, so that a NaN stays near
template <typename T>
__device__ T mix(T a, T b, T low) { return low == T(1) ? a : a * low + b * (T(1) - low); }

template <typename T>
__global__ void __launch_bounds__(256, 4)
    forward(const T* x, T* y, int H, int W, int C, int FH, int FW, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long pixel = i / C, row = pixel / (W * FW), image = row / (H * FH);
    int h, h2, w, w2;
    T a, b;
    lines(int(row - image * (H * FH)), FH, H, h, h2, a);
    lines(int(pixel - row * (W * FW)), FW, W, w, w2, b);
    const T* in = x + image * H * W * C + (i - pixel * C);
    const long long p = ((long long)h * W + w) * C, q = ((long long)h2 * W + w) * C, right = (long long)(w2 - w) * C;
    y[i] = mix(mix(in[p], in[q], a), mix(in[p + right], in[q + right], a), b);
  }
}

// What new line `at` has of old line k.
template <typename T>
__device__ T weight(int at, int factor, int n, int k) {
  int line, next;
  T low;
  lines(at, factor, n, line, next, low);
  return (line == k ? low : T(0)) + (next == k ? T(1) - low : T(0));
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    back(const T* dy, T* dx, int H, int W, int C, int FH, int FW, long long n) {
  for (long long i = first(); i < n; i += stride()) {
    const long long pixel = i / C, row = pixel / W, image = row / H;
    const int h = int(row - image * H), w = int(pixel - row * W), OH = H * FH, OW = W * FW;
    T total = T(0);
    for (int a = max(0, (h - 1) * FH); a < min(OH, (h + 2) * FH); ++a) {
      const T down = weight<T>(a, FH, H, h);
      for (int b = max(0, (w - 1) * FW); down != T(0) && b < min(OW, (w + 2) * FW); ++b) {
        const T part = down * weight<T>(b, FW, W, w);
        if (part != T(0)) total += part * dy[((image * OH + a) * OW + b) * C + (i - pixel * C)];
      }
    }
    dx[i] = total;
  }
}
