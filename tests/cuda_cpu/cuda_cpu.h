// Runs CUDA kernels on the CPU: included before the text of a .cu file, which g++ then compiles as it stands.
//
// Every CUDA thread is a fiber with a stack of its own. A fiber runs until it waits (barrier, shuffle) or returns; then
// the next one does, in the order asked for: forward, backward or shuffled. What depends on that order is a race.
// Shared memory is NaN before every block. A barrier that some threads do not reach, or a shuffle that lacks lanes, is
// an error of one line. Not modelled: memory order between blocks, flush to zero, the error of fast intrinsics, banks.
#pragma once
#include <link.h>
#include <math.h>
#include <sys/mman.h>

#include <cfloat>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#if defined(__SANITIZE_ADDRESS__) && !defined(CUDA_CPU_COOPERATIVE)
#define __shared__ static  // the sanitizer watches its ends; where it lies is not known, so that it is not poisoned
#else
#define __shared__ static thread_local  // all of it lies in the library's thread-local block, which is easy to find
#endif
static thread_local long cuda_cpu_anchor;

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

#include "grid.h"

namespace cuda_cpu {

// Reads the arguments as CUDA does: as many bytes as the parameter has, whatever was put there.
template <typename P>
static std::remove_cv_t<P> read(const void* from) {
  std::remove_cv_t<P> value;
  memcpy(&value, from, sizeof value);
  return value;
}

template <typename... P>
static int run(const Launch& wanted, void** arguments, void (*kernel)(P...)) {
  static std::tuple<std::remove_cv_t<P>...> values;
  static void (*function)(P...);
  function = kernel;
  launch = wanted;
  failed = false;
  int i = 0;
  (void)i;
  values = std::tuple<std::remove_cv_t<P>...>{read<P>(arguments[i++])...};
  body = [] { std::apply(function, values); };
  return run_grid();
}

}  // namespace cuda_cpu

extern "C" const char* cuda_cpu_message() { return cuda_cpu::message; }
#define CUDA_CPU_ENTRY(number, ...)                                                       \
  extern "C" int cuda_cpu_run_##number(const cuda_cpu::Launch* launch, void** arguments) { \
    return cuda_cpu::run(*launch, arguments, __VA_ARGS__);                                \
  }

#include "device.h"
