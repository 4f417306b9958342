// What the kernels share: loops, reductions in a fixed order, numbers that NVRTC has no names for.
//
// Kernels say __launch_bounds__(256, 4), up to 64 registers: without a number of blocks the assembler aims at fewer and
// spills. Sums are added in an order that depends on sizes only, never by atomics: the same input, the same bits.
#pragma once

template <typename T>
__device__ T infinity();
template <>
__device__ inline float infinity<float>() { return __int_as_float(0x7f800000); }
template <>
__device__ inline double infinity<double>() { return __longlong_as_double(0x7ff0000000000000ll); }
template <typename T>
__device__ T not_a_number() { return infinity<T>() - infinity<T>(); }

// for (long long i = first(); i < n; i += stride()): any grid does all n elements, neighbours by neighbouring threads.
__device__ inline long long first() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline long long stride() { return (long long)gridDim.x * blockDim.x; }

// Quotient and remainder by a divisor that stays, without the division: the estimate is at most one too small.
struct Divisor {
  unsigned by, factor;
  __device__ explicit Divisor(unsigned by) : by(by), factor(0xFFFFFFFFu / by) {}
  __device__ void operator()(unsigned n, int& quotient, int& remainder) const {
    unsigned q = __umulhi(n, factor), r = n - q * by;
    if (r >= by) ++q, r -= by;
    quotient = q, remainder = r;
  }
};

struct Plus {
  template <typename T>
  __device__ T operator()(T a, T b) const { return a + b; }
};

struct Greater {  // NaN is greater than everything, so that it stays
  template <typename T>
  __device__ T operator()(T a, T b) const { return b > a || b != b ? b : a; }
};

// Every lane gets the result: with partners swapped, an operation that commutes gives both the same bits.
template <typename T, typename F>
__device__ T warp_reduce(T value, F f) {
  for (int bits = 16; bits; bits /= 2) value = f(value, __shfl_xor_sync(~0u, value, bits));
  return value;
}

// Every thread of a block of so many gets the result; none is what leaves f's other argument as it is.
template <int THREADS, typename T, typename F>
__device__ T block_reduce(T value, T none, F f) {
  __shared__ T part[THREADS / 32];
  value = warp_reduce(value, f);
  __syncthreads();  // everyone has read what the last reduction left here
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = value;
  __syncthreads();
  return warp_reduce(threadIdx.x % 32 < THREADS / 32 ? part[threadIdx.x % 32] : none, f);
}

// A row is the work of a team: a warp, of which a block has several, or a whole block.
template <int TEAM, typename T, typename F>
__device__ T team_reduce(T value, T none, F f) {
  if constexpr (TEAM == 32) return warp_reduce(value, f);
  else return block_reduce<TEAM>(value, none, f);
}

// Is this the last block of its launch to come here? True for its first thread alone. What it then writes, no other
// block reads any more. The count goes back to 0 by itself; kernels of a module run one after the other.
__device__ unsigned blocks_done = 0;
__device__ inline bool last_block() {
  __syncthreads();  // every thread of this block has read what it reads
  __threadfence();
  return threadIdx.x == 0 && atomicInc(&blocks_done, gridDim.x - 1) == gridDim.x - 1;
}

template <typename T>
__device__ T sigmoid(T x) {
  const T e = exp(-fabs(x)), s = T(1) / (T(1) + e);  // never overflows
  return x >= T(0) ? s : e * s;                      // NaN takes the second branch and stays
}
