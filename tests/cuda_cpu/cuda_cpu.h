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

namespace cuda_cpu {

struct Launch { unsigned grid[3], block[3], shared_bytes, order, cooperative; };
enum Order : unsigned { FORWARD, BACKWARD, SHUFFLED };
enum State : unsigned char { READY, AT_BLOCK, AT_WARP, AT_GRID, DONE };
enum What : unsigned char { SYNC, SHUFFLE, BALLOT };
static const char* const NAMES[] = {"__syncwarp", "a shuffle", "a vote"};

struct Fiber {
  void* stack_pointer;
  char* stack;
  uint3 thread;
  unsigned block, mask;
  int line, source;      // where it waits; the lane that a shuffle reads
  uint64_t value;        // what it brings to a shuffle or vote, and what it takes away
  State state;
  What what;
};

static const size_t PAGE = 4096, STACK = 17 * PAGE;
static std::vector<Fiber> fibers;
static std::vector<char*> stacks;
static std::vector<unsigned> order;
static Fiber* current;
static Launch launch;
static void* scheduler;
static void (*body)();
static char* dynamic_memory;
static unsigned first_block;
static char message[400];
static bool failed;

__attribute__((naked, noipa)) static void switch_to(void**, void*) {
  asm("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15; mov %rsp, (%rdi); mov %rsi, %rsp;"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret");
}

static void leave() { switch_to(&current->stack_pointer, scheduler); }

__attribute__((format(printf, 1, 2))) static void report(const char* format, ...) {
  va_list rest;
  va_start(rest, format);
  if (!failed) vsnprintf(message, sizeof message, format, rest);
  va_end(rest);
  failed = true;
}

static void start() {
  body();
  current->state = DONE;
  leave();
  __builtin_trap();
}

static uint3 unflatten(unsigned i, const unsigned* size) {
  return {i % size[0], i / size[0] % size[1], i / size[0] / size[1]};
}

static unsigned per_block() { return launch.block[0] * launch.block[1] * launch.block[2]; }

static void resume(Fiber& f) {
  if (!f.stack) {
    if (stacks.empty()) {
      void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (memory == MAP_FAILED) return report("no memory for the stack of one more thread");
      stacks.push_back(static_cast<char*>(memory));
    }
    f.stack = stacks.back();
    stacks.pop_back();
    const size_t shift = reinterpret_cast<size_t>(f.stack) / PAGE % 32 * 64;  // tops would share their places in cache
    void** top = reinterpret_cast<void**>(f.stack + STACK - 64 - shift);
    *top = reinterpret_cast<void*>(&start);  // where the first switch returns to, under six saved registers
    f.stack_pointer = top - 6;
  }
  current = &f;
  threadIdx = f.thread;
  blockIdx = unflatten(f.block, launch.grid);
  switch_to(&scheduler, f.stack_pointer);
  if (f.state == DONE) {
    stacks.push_back(f.stack);
    f.stack = nullptr;
  }
}

static const char* where(const Fiber& f) {
  static char text[2][200];
  static int turn;
  char* out = text[turn ^= 1];
  const uint3 b = unflatten(f.block, launch.grid);
  int n = snprintf(out, 200, "thread (%u, %u, %u) of block (%u, %u, %u) ", f.thread.x, f.thread.y, f.thread.z, b.x, b.y,
                   b.z);
  const char* const place = f.state == AT_BLOCK ? "__syncthreads" : f.state == AT_GRID ? "a barrier of the grid" : NAMES[f.what];
  if (f.state == DONE) snprintf(out + n, 200 - n, "has returned");
  else n += snprintf(out + n, 200 - n, "waits in %s in line %d", place, f.line);
  if (f.state == AT_WARP) snprintf(out + n, 200 - n, " (mask 0x%x)", f.mask);
  return out;
}

static void wait(State state, int line) {
  current->mask = 0;
  current->state = state;
  current->line = line;
  leave();
}

// Warps --------------------------------------------------------------------------------------------------------

// The fiber of lane 0 and the number of lanes there are.
static Fiber* warp_of(const Fiber& f, unsigned& lanes, unsigned& lane) {
  const unsigned n = per_block(), i = unsigned(&f - fibers.data()) % n;
  lane = i % 32;
  lanes = n - (i - lane) < 32 ? n - (i - lane) : 32;
  return &fibers[&f - fibers.data() - lane];
}

// Together with the other lanes of the mask: the last to come gives all of them their values.
static uint64_t meet(What what, unsigned mask, uint64_t value, int source, int line) {
  unsigned lanes, lane, votes = 0;
  Fiber* warp = warp_of(*current, lanes, lane);
  Fiber& me = *current;
  me.what = what, me.mask = mask, me.value = value, me.source = source, me.line = line;
  me.state = AT_WARP;
  bool all = true;
  for (unsigned i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    if (i >= lanes) {
      report("%s: the warp has %u lanes", where(me), lanes);
      leave();
    }
    const Fiber& f = warp[i];
    all = all && f.state == AT_WARP && f.what == what && f.mask == mask && f.line == line;
    votes |= unsigned(f.value != 0) << i;
  }
  if (!(mask >> lane & 1)) report("%s, which leaves it out", where(me));
  if (failed || !all) leave();  // comes back when the last lane has come
  else {
    uint64_t results[32];
    for (unsigned i = 0; i < lanes; ++i) {
      if (!(mask >> i & 1)) continue;
      const int from = warp[i].source;
      if (what == SHUFFLE && !(mask >> from & 1)) {
        report("%s and reads lane %d, which takes no part", where(warp[i]), from);
        leave();
      }
      results[i] = what == BALLOT ? votes : what == SHUFFLE ? warp[from].value : 0;
    }
    for (unsigned i = 0; i < lanes; ++i)
      if (mask >> i & 1) warp[i].value = results[i], warp[i].state = READY;
  }
  return me.value;
}

template <typename T>
static T shuffle(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles 4 or 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  bits = meet(SHUFFLE, mask, bits, source, line);
  memcpy(&value, &bits, sizeof(T));
  return value;
}

static int lane_of_current() {
  unsigned lanes, lane;
  warp_of(*current, lanes, lane);
  return int(lane);
}

// Blocks and the grid ------------------------------------------------------------------------------------------

static int find_shared(dl_phdr_info* info, size_t, void* out) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_TLS || !info->dlpi_tls_data) continue;
    char *begin = static_cast<char*>(info->dlpi_tls_data), *anchor = reinterpret_cast<char*>(&cuda_cpu_anchor);
    if (anchor < begin || anchor >= begin + info->dlpi_phdr[i].p_memsz) continue;
    *static_cast<std::pair<char*, size_t>*>(out) = {begin, info->dlpi_phdr[i].p_memsz};
    return 1;
  }
  return 0;
}

static void set_order(unsigned n, unsigned seed) {
  order.resize(n);
  for (unsigned i = 0; i < n; ++i) order[i] = launch.order == BACKWARD ? n - 1 - i : i;
  uint64_t state = seed * 2654435761u + 88172645463325252ull;
  for (unsigned i = n; launch.order == SHUFFLED && i > 1; --i) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    std::swap(order[i - 1], order[state % i]);
  }
}

// One block, until all of its threads have returned or wait for the grid.
static void run_block(Fiber* block, unsigned n) {
  for (;;) {
    bool any = false;
    for (unsigned i = 0; i < n && !failed; ++i) {
      Fiber& f = block[order[i]];
      if (f.state == READY) any = true, resume(f);
    }
    if (failed) return;
    if (any) continue;
    const Fiber* waits = &block[0];  // nobody can go on: all must stand at one barrier
    for (unsigned i = 0; i < n && waits->state == DONE; ++i) waits = &block[i];
    for (unsigned i = 0; i < n; ++i) {
      const Fiber& f = block[i];
      const bool here = f.state == waits->state && f.line == waits->line && f.mask == waits->mask;
      const bool needed = waits->state != AT_WARP || (i / 32 == (waits - block) / 32u && waits->mask >> i % 32 & 1);
      if (waits->state != DONE && needed && !here) return report("%s, and %s", where(*waits), where(f));
    }
    if (waits->state != AT_BLOCK) return;
    for (unsigned i = 0; i < n; ++i) block[i].state = READY;
  }
}

static int run_grid() {
  const unsigned n = per_block(), blocks = launch.grid[0] * launch.grid[1] * launch.grid[2];
  const unsigned together = launch.cooperative ? blocks : 1;
  std::pair<char*, size_t> shared{&dynamic_memory[0], 0};
  cuda_cpu_anchor = 0;
  dl_iterate_phdr(find_shared, &shared);
  if (!n || n > 1024 || launch.block[2] > 64) report("a block of %u threads; CUDA takes 1 to 1024", n);
  if (!blocks || launch.grid[1] > 65535 || launch.grid[2] > 65535) report("a grid that CUDA does not take");
  if (failed) return 1;
  dynamic_memory = static_cast<char*>(malloc(launch.shared_bytes));  // of that very size: the sanitizer sees its end
  std::vector<std::vector<char>> kept(launch.cooperative ? blocks : 0);
  fibers.assign(size_t(n) * together, Fiber());
  blockDim = {launch.block[0], launch.block[1], launch.block[2]};
  gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
  set_order(blocks, 0);
  const std::vector<unsigned> block_order = order;
  set_order(n, 1);
  for (unsigned first = 0; first < blocks && !failed; first += together) {
    for (unsigned i = 0; i < n * together; ++i) {
      fibers[i].block = together == 1 ? block_order[first] : i / n;
      fibers[i].thread = unflatten(i % n, launch.block);
      fibers[i].state = READY;
    }
    for (bool fresh = true, finished = false; !finished && !failed; fresh = false) {
      finished = true;
      for (unsigned j = 0; j < together && !failed; ++j) {
        const unsigned b = together == 1 ? 0 : block_order[j];
        if (fresh) {
          memset(shared.first, 0xFF, shared.second);
          memset(dynamic_memory, 0xFF, launch.shared_bytes);
        } else {
          memcpy(shared.first, kept[b].data(), shared.second);
          memcpy(dynamic_memory, kept[b].data() + shared.second, launch.shared_bytes);
        }
        run_block(&fibers[size_t(b) * n], n);
        finished = finished && fibers[size_t(b) * n].state == DONE;
        if (!launch.cooperative) continue;
        kept[b].assign(shared.first, shared.first + shared.second);
        kept[b].insert(kept[b].end(), dynamic_memory, dynamic_memory + launch.shared_bytes);
      }
      if (finished || failed) break;
      for (Fiber& f : fibers) {
        if (!launch.cooperative) report("%s, which needs a cooperative launch", where(f));
        if (f.state != AT_GRID || f.line != fibers[0].line) report("%s, and %s", where(fibers[0]), where(f));
        f.state = READY;
      }
    }
  }
  for (Fiber& f : fibers)
    if (f.stack) stacks.push_back(f.stack);  // of threads that were left behind by an error
  free(dynamic_memory);
  return failed;
}

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
