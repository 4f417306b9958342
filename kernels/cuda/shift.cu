// Shifted images: y[n, h, w] = x[n, h + by[n, 0] - reach, w + by[n, 1] - reach], `fill` where there is no such pixel.
//
// Reads and writes every element once, neighbours by neighbouring threads: 8 bytes in float32; bound by memory.
#include "common.cuh"

template <typename T, typename I>
__global__ void __launch_bounds__(256, 4)
    shift(const T* x, const I* by, const T* fill, T* y, int reach, int H, int W, int C, long long n) {
  const T none = fill[0];
  for (long long i = first(); i < n; i += stride()) {
    const long long pixel = i / C, row = pixel / W, image = row / H;
    const long long h = row - image * H + by[2 * image] - reach, w = pixel - row * W + by[2 * image + 1] - reach;
    y[i] = h >= 0 && h < H && w >= 0 && w < W ? x[((image * H + h) * W + w) * C + (i - pixel * C)] : none;
  }
}
