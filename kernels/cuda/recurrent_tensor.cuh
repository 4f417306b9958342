// The product of a step of a recurrent layer on tensor cores (mma.cuh).
//
// What a step hands to the next lies in memory as it will be multiplied: rounded, and in the order of fragments. Which k
// meet in one instruction is all the same, if it is the same on both sides: here a lane has 16 bytes of neighbours, of
// its row or column, for two instructions. A warp takes every eighth such chunk of k, and the weights that a lane will
// multiply it reads itself: nothing is shared but the sums of the warps.
#pragma once
#include "recurrent_product.cuh"

// For each of two steps, 16 rows after 16.
template <typename F>
struct Handed<F, true> {
  using Element = decltype(F::round(0.0f));
  static constexpr int PACK = 4 / sizeof(Element), MINE = 4 * PACK, CHUNK = 4 * MINE;  // of k: a lane's, and a warp's
  uint4* words;
  int groups, K, chunks;

  __device__ Handed(unsigned* words, int N, int K)
      : words(reinterpret_cast<uint4*>(words)), groups(whole(N) / ROWS), K(K), chunks((K + CHUNK - 1) / CHUNK) {}
  // The fragments of two instructions.
  __device__ uint4* at(int s, int n, int chunk) const {
    return words + (((long long)(s & 1) * groups + n / ROWS) * chunks + chunk) * 64;
  }
  __device__ void put(int s, int n, int k, float x) const {
    const int word = k % MINE / PACK, lane = n % 8 * 4 + k % CHUNK / MINE;
    unsigned* to = reinterpret_cast<unsigned*>(at(s, n, k / CHUNK) + word / 2 * 32 + lane) + word % 2 * 2 + n / 8 % 2;
    reinterpret_cast<Element*>(to)[k % PACK] = F::round(x);
  }
  // From L2: other blocks wrote it. Beyond K nobody wrote.
  __device__ void read(int s, int n0, int chunk, uint4 (&into)[2]) const {
    const uint4* from = at(s, n0, chunk) + threadIdx.x % 32;
    const bool inside = chunk * CHUNK + threadIdx.x % 4 * MINE < K;
    into[0] = inside ? __ldcg(from) : uint4{}, into[1] = inside ? __ldcg(from + 32) : uint4{};
  }
};

template <typename F, typename Side, bool RESIDENT>
struct Sums<F, Side, RESIDENT, true> {
  using Element = typename Handed<F>::Element;
  static constexpr int TILES = 2 * Side::EACH, MINE = Handed<F>::MINE, CHUNK = Handed<F>::CHUNK;
  static constexpr int AHEAD = RESIDENT && TILES == 2 ? 4 : 2;  // chunks on their way at a time
  static constexpr int BYTES = WARPS * TILES * 32 * sizeof(float4);
  float* room;
  uint4* weights;
  const float* u;
  int j0, H;

  __device__ Sums(void* room, void* weights, const float* u, int H)
      : room((float*)room), weights((uint4*)(RESIDENT ? weights : room)), u(u), j0(blockIdx.x * ROWS), H(H) {
    if (!RESIDENT) return;
    for (int chunk = threadIdx.x / 32; chunk * CHUNK < Side::padded(H); chunk += WARPS) fetch(chunk, chunk);
  }
  // Four neighbours in a tile of sums are one lane's, a group of 8 units after the other.
  __device__ static int row() { return threadIdx.x / 16 % 8 + threadIdx.x / 2 % 2 * 8; }
  __device__ static int unit() { return threadIdx.x / 128 * 8 + threadIdx.x / 4 % 4 * 2 + threadIdx.x % 2; }
  __device__ static int place(int chunk, int tile) { return (chunk * TILES + tile) * 32 + threadIdx.x % 32; }

  __device__ void fetch(int chunk, int to) const {
#pragma unroll 1
    for (int tile = 0; tile < TILES; ++tile) {
      alignas(16) Element e[MINE];
      for (int i = 0; i < MINE; i += 4) {
        const int k = chunk * CHUNK + threadIdx.x % 4 * MINE + i;
        const Pack<float> q = Side::column(u, j0, tile * 8 + threadIdx.x % 32 / 4, k, H);
        for (int j = 0; j < 4; ++j) e[i + j] = F::round(q.v[j]);
      }
      weights[place(to, tile)] = *reinterpret_cast<const uint4*>(e);
    }
  }

  template <typename From>
  __device__ void multiply(const From&, const Handed<F>& handed, int s, int n0, float (&out)[Side::EACH]) const {
    const int warp = threadIdx.x / 32;
    float sums[TILES][4] = {};
    __syncthreads();  // everyone has read the sums that were here
    uint4 left[AHEAD][2] = {};
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) handed.read(s, n0, warp + i * WARPS, left[i]);
    for (int first = warp; first < handed.chunks; first += WARPS * AHEAD) {
#pragma unroll
      for (int i = 0; i < AHEAD; ++i) {
        const int chunk = first + i * WARPS;
        if (chunk >= handed.chunks) break;
        if (!RESIDENT) fetch(chunk, warp);
        const uint4 a = left[i][0], b = left[i][1];
        const unsigned rows[2][4] = {{a.x, a.y, a.z, a.w}, {b.x, b.y, b.z, b.w}};
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
          const uint4 right = weights[place(RESIDENT ? chunk : warp, tile)];
          const unsigned columns[2][2] = {{right.x, right.y}, {right.z, right.w}};
          F::multiply(sums[tile], rows[0], columns[0]);
          F::multiply(sums[tile], rows[1], columns[1]);
        }
        handed.read(s, n0, chunk + AHEAD * WARPS, left[i]);
      }
    }
    for (int tile = 0; tile < TILES; ++tile) {
      const float* x = sums[tile];
      reinterpret_cast<float4*>(room)[place(warp, tile)] = make_float4(x[0], x[1], x[2], x[3]);
    }
    __syncthreads();
    for (int q = 0; q < Side::EACH; ++q) {
      out[q] = 0;
      for (int slice = 0; slice < WARPS; ++slice) out[q] += room[(slice * Side::EACH + q) * THREADS + threadIdx.x];
    }
  }
};
