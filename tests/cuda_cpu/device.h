// The part of CUDA's device library that kernels here use; what is not listed does not compile.
#pragma once

#define CUDA_CPU_LINE int line = __builtin_LINE()

static inline void __syncthreads(CUDA_CPU_LINE) { cuda_cpu::wait(cuda_cpu::AT_BLOCK, line); }
static inline void __syncwarp(unsigned mask = ~0u, CUDA_CPU_LINE) { cuda_cpu::meet(cuda_cpu::SYNC, mask, 0, 0, line); }
static inline void __nanosleep(unsigned, CUDA_CPU_LINE) { cuda_cpu::wait(cuda_cpu::ASLEEP, line); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

static inline unsigned __ballot_sync(unsigned mask, int vote, CUDA_CPU_LINE) {
  return unsigned(cuda_cpu::meet(cuda_cpu::BALLOT, mask, vote != 0, 0, line));
}
static inline int __any_sync(unsigned mask, int vote, CUDA_CPU_LINE) { return __ballot_sync(mask, vote, line) != 0; }
static inline int __all_sync(unsigned mask, int vote, CUDA_CPU_LINE) { return __ballot_sync(mask, vote, line) == mask; }

// A lane without a partner in its segment of `width` lanes reads itself.
template <typename T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUDA_CPU_LINE) {
  const int lane = cuda_cpu::lane_of_current();
  return cuda_cpu::shuffle(mask, value, (lane & -width) + (source & (width - 1)), line);
}
template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, CUDA_CPU_LINE) {
  const int lane = cuda_cpu::lane_of_current(), source = lane ^ bits;
  return cuda_cpu::shuffle(mask, value, source < (lane & -width) + width ? source : lane, line);
}
template <typename T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, CUDA_CPU_LINE) {
  const int lane = cuda_cpu::lane_of_current(), source = lane + int(by);
  return cuda_cpu::shuffle(mask, value, source < (lane & -width) + width ? source : lane, line);
}
template <typename T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, CUDA_CPU_LINE) {
  const int lane = cuda_cpu::lane_of_current(), source = lane - int(by);
  return cuda_cpu::shuffle(mask, value, source >= (lane & -width) ? source : lane, line);
}

// Fibers change places only where they wait: what lies between is atomic.
template <typename T, typename F>
static inline T cuda_cpu_exchange(T* at, F next) {
  const T old = *at;
  *at = T(next(old));
  return old;
}
#define CUDA_CPU_ATOMIC(name, next)                           \
  template <typename T>                                       \
  static inline T name(T* at, std::common_type_t<T> value) { \
    return cuda_cpu_exchange(at, [=](T old) { return next; }); \
  }
CUDA_CPU_ATOMIC(atomicAdd, old + value)
CUDA_CPU_ATOMIC(atomicExch, (void(old), value))
CUDA_CPU_ATOMIC(atomicMax, old < value ? value : old)
CUDA_CPU_ATOMIC(atomicMin, value < old ? value : old)
CUDA_CPU_ATOMIC(atomicOr, old | value)
static inline unsigned atomicInc(unsigned* at, unsigned limit) {
  return cuda_cpu_exchange(at, [=](unsigned old) { return old >= limit ? 0 : old + 1; });
}
template <typename T>
static inline T atomicCAS(T* at, std::common_type_t<T> expected, std::common_type_t<T> value) {
  return cuda_cpu_exchange(at, [=](T old) { return old == expected ? value : old; });
}

template <typename T>
static inline T __ldg(const T* at) { return *at; }
template <typename T>
static inline T __ldcg(const T* at) { return *at; }
static inline float __int_as_float(int bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline int __float_as_int(float x) { int bits; memcpy(&bits, &x, 4); return bits; }
static inline double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }
static inline long long __double_as_longlong(double x) { long long bits; memcpy(&bits, &x, 8); return bits; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline float sinpi(float x) { return float(sin(M_PI * x)); }
static inline float cospi(float x) { return float(cos(M_PI * x)); }
static inline double sinpi(double x) { return sin(M_PI * x); }
static inline double cospi(double x) { return cos(M_PI * x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
#define __expf(x) expf(x)  // as functions the C library has them already
#define __logf(x) logf(x)
static inline float __fdividef(float a, float b) { return a / b; }

// As in CUDA, of two floating-point numbers the one that is not NaN.
template <typename T>
static inline T min(T a, T b) { if constexpr (std::is_floating_point_v<T>) return fmin(a, b); else return b < a ? b : a; }
template <typename T>
static inline T max(T a, T b) { if constexpr (std::is_floating_point_v<T>) return fmax(a, b); else return a < b ? b : a; }

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace cuda_cpu {
template <typename T>
static inline T* dynamic_shared() { return reinterpret_cast<T*>(dynamic_memory); }
}  // namespace cuda_cpu
