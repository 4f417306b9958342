// Formats of operands, and the tile of a product that warps add up on tensor cores.
//
// A format is float or double, whose products CUDA cores make, or one of Tf32, Bf16, Fp16: float32 in memory, rounded to
// nearest even on the way to shared memory, NaN and infinity kept; sums stay float32. There two neighbours in k of 16
// bits make a word. In words all formats have one layout of the fragments: lane = 4 g + t has of
//   A (16 x 8)   a[0] (g, t)   a[1] (g + 8, t)   a[2] (g, t + 4)   a[3] (g + 8, t + 4)
//   B (8 x 8)    b[0] (t, g)   b[1] (t + 4, g)
//   C (16 x 8)   c[0] (g, 2 t)   c[1] (g, 2 t + 1)   c[2] (g + 8, 2 t)   c[3] (g + 8, 2 t + 1)
// Operands lie in shared memory as [word of k][row of A or column of B], 8 words more between two k, so that the 32
// lanes of a fragment read from 32 banks.
#pragma once
#include <ptx.cuh>

#include "common.cuh"

constexpr int THREADS = 256;  // of a block: 8 warps

// Neighbours: four of float in one load.
template <typename T, int N = 4>
struct alignas(N == 4 ? 16 : sizeof(T)) Pack {
  T v[N];
};

template <typename T>
__device__ bool aligned(const T* p) { return reinterpret_cast<size_t>(p) % alignof(Pack<T>) == 0; }

// What a format is in memory, and in shared memory: words, of one number or of two neighbours in k, and so many MORE
// between two k.
template <typename F>
struct Format {
  using Stored = F;
  using Word = F;
  static constexpr bool TENSOR = false;
  static constexpr int IN_WORD = 1, MORE = 4;
  __device__ static F word(F x, F) { return x; }
};
template <typename F>
using Stored = typename Format<F>::Stored;

struct Tf32 {
  __device__ static unsigned round(float x) {
    const unsigned bits = __float_as_int(x);
    if ((bits & 0x7F800000) == 0x7F800000) return bits & 0x7FFFFF ? bits | 0x400000 : bits;  // of a NaN something stays
    return (bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu;
  }
  __device__ static float number(unsigned bits) { return __int_as_float(bits); }
  __device__ static void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_tf32(c, a, b); }
};
struct Bf16 {
  __device__ static unsigned short round(float x) { return bf16_bits(x); }
  __device__ static float number(unsigned bits) { return __int_as_float(bits << 16); }
  __device__ static void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_bf16(c, a, b); }
};
struct Fp16 {
  __device__ static unsigned short round(float x) { return fp16_bits(x); }
  __device__ static float number(unsigned short bits) { return fp16_number(bits); }
  __device__ static void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_fp16(c, a, b); }
};

template <int NUMBERS>
struct Rounded {
  using Stored = float;
  using Word = unsigned;
  static constexpr bool TENSOR = true;
  static constexpr int IN_WORD = NUMBERS, MORE = 8;
};
template <typename F>
struct Halves : Rounded<2> {
  __device__ static unsigned word(float x, float y) { return F::round(x) | unsigned(F::round(y)) << 16; }
};
template <>
struct Format<Tf32> : Rounded<1> {
  __device__ static unsigned word(float x, float) { return Tf32::round(x); }
};
template <>
struct Format<Bf16> : Halves<Bf16> {};
template <>
struct Format<Fp16> : Halves<Fp16> {};

// One operand of a step in shared memory, as [word of k][row of A or column of B], at a pitch that spreads neighbours
// in k over the banks and keeps packs of four aligned.
template <typename F, int DEPTH, int LENGTH>
struct Plane {
  static constexpr int WORDS = DEPTH / Format<F>::IN_WORD;
  alignas(16) typename Format<F>::Word at[WORDS][LENGTH + Format<F>::MORE];
};

// How many warps of a team stand below one another: the fewest that make their share no taller than two widths.
constexpr int warps_down(int team, int M, int N) {
  int down = 1;
  while (M / down > 2 * N / (team / down)) down *= 2;
  return down;
}

constexpr int teams(int M, int N) { return M * N <= 1024 ? 4 : 1; }  // small tiles have work for two warps

// The sums of M x N by 8 warps. Where they form several teams, each has a slice of k and sums of its own.
template <typename F, int M, int N, int DEPTH, int TEAMS = teams(M, N), int DOWN = warps_down(8 / TEAMS, M, N)>
struct Warps {
  static constexpr int SLICES = TEAMS, TEAM = 8 / TEAMS, ACROSS = TEAM / DOWN, MORE = Format<F>::MORE;
  static constexpr int TALL = M / DOWN / 16, WIDE = N / ACROSS / 8;
  static constexpr int WORDS = Plane<F, DEPTH, N>::WORDS / TEAMS;
  static_assert(TALL * DOWN * 16 == M && WIDE * ACROSS * 8 == N, "sizes that do not fit");
  static_assert(WORDS % 8 == 0, "not a whole number of instructions");
  float sums[TALL][WIDE][4] = {};

  __device__ static int slice() { return threadIdx.x / 32 / TEAM; }
  __device__ static int row() { return threadIdx.x / 32 % TEAM / ACROSS * (M / DOWN); }
  __device__ static int column() { return threadIdx.x / 32 % ACROSS * (N / ACROSS); }

  __device__ void add(const Plane<F, DEPTH, M>& left, const Plane<F, DEPTH, N>& right) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    add(right, [&](int i, int word, unsigned (&a)[4]) {
      const unsigned (*at)[M + MORE] = left.at + slice() * WORDS + word + t;
      const int m = row() + 16 * i + g;
      a[0] = at[0][m], a[1] = at[0][m + 8], a[2] = at[4][m], a[3] = at[4][m + 8];
    });
  }

  // rows(i, word, a): the fragment of A for the i-th 16 rows and 8 words from there on.
  template <typename Rows>
  __device__ void add(const Plane<F, DEPTH, N>& right, Rows rows) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int word = 0; word < WORDS; word += 8) {
      const unsigned (*b)[N + MORE] = right.at + slice() * WORDS + word + t;
      unsigned columns[WIDE][2];
#pragma unroll
      for (int j = 0; j < WIDE; ++j)
        columns[j][0] = b[0][column() + 8 * j + g], columns[j][1] = b[4][column() + 8 * j + g];
#pragma unroll
      for (int i = 0; i < TALL; ++i) {
        unsigned a[4];
        rows(i, word, a);
#pragma unroll
        for (int j = 0; j < WIDE; ++j) F::multiply(sums[i][j], a, columns[j]);
      }
    }
  }

  // The sums leave in rounds, 8 rows of each warp at a time, to (slice, LEFT rows, N) of shared memory.
  static constexpr int ROUNDS = 2 * TALL, LEFT = 8 * DOWN;
  __device__ static int place(int left, int round) { return left / 8 * (M / DOWN) + 8 * round + left % 8; }
  __device__ void leave(int round, float* room) const {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    float* to = room + (slice() * LEFT + row() / (M / DOWN) * 8 + g) * N + column() + 2 * t;
#pragma unroll
    for (int r = 0; r < ROUNDS; ++r)
#pragma unroll
      for (int j = 0; j < WIDE; ++j)
        if (r == round) to[8 * j] = sums[r / 2][j][r % 2 * 2], to[8 * j + 1] = sums[r / 2][j][r % 2 * 2 + 1];
  }
};
