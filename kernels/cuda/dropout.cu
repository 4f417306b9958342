// Dropout: y = x scale where word i of a stream is at least the threshold, x 0 elsewhere, so that NaN stays.
//
// forward reads x and writes y and the mask, backward reads dy and the mask and writes dx: 9 bytes an element in float32;
// bound by memory, as the 25 instructions for an element's word cost less. A thread has the four elements of a block of
// the stream, and moves them together where the arrays are aligned. The last block to end writes the stream's next draw,
// in place so that a replayed step draws anew: every other has read the state by then.
#include "philox.cuh"
#include "common.cuh"

template <typename T>
struct alignas(sizeof(T) == 1 ? 4 : 16) Four {
  T of[4];
};

// May fours of them be moved together?
template <typename T>
__device__ bool aligned(const T* x) { return (unsigned long long)x % alignof(Four<T>) == 0; }

template <typename T>
__device__ Four<T> read(const T* x, long long at, long long n, bool together) {
  if (together && at + 4 <= n) return *(const Four<T>*)(x + at);
  Four<T> found;
  for (int k = 0; k < 4; ++k) found.of[k] = at + k < n ? x[at + k] : T(0);
  return found;
}

template <typename T>
__device__ void write(const Four<T>& values, T* x, long long at, long long n, bool together) {
  if (together && at + 4 <= n) *(Four<T>*)(x + at) = values;
  else
    for (int k = 0; k < 4; ++k)
      if (at + k < n) x[at + k] = values.of[k];
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    forward(const T* x, const unsigned* state, unsigned threshold, T scale, T* y, bool* kept, unsigned* next,
            long long n) {
  const bool together = aligned(x) && aligned(y) && aligned(kept);
  for (long long block = first(); 4 * block < n; block += stride()) {
    unsigned words[4];
    philox(state, unsigned(block), words);
    Four<T> values = read(x, 4 * block, n, together);
    Four<bool> marks;
    for (int k = 0; k < 4; ++k) {
      marks.of[k] = words[k] >= threshold;
      values.of[k] *= marks.of[k] ? scale : T(0);
    }
    write(values, y, 4 * block, n, together);
    write(marks, kept, 4 * block, n, together);
  }
  if (last_block()) next_draw(state, next);
}

template <typename T>
__global__ void __launch_bounds__(256, 4) backward(const T* dy, const bool* kept, T scale, T* dx, long long n) {
  const bool together = aligned(dy) && aligned(dx) && aligned(kept);
  for (long long block = first(); 4 * block < n; block += stride()) {
    Four<T> values = read(dy, 4 * block, n, together);
    const Four<bool> marks = read(kept, 4 * block, n, together);
    for (int k = 0; k < 4; ++k) values.of[k] *= marks.of[k] ? scale : T(0);
    write(values, dx, 4 * block, n, together);
  }
}
