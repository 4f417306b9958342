// CUDA threads as fibers, and the places where they wait for one another.
#pragma once

namespace cuda_cpu {

struct Launch { unsigned grid[3], block[3], shared_bytes, order, cooperative; };
enum Order : unsigned { FORWARD, BACKWARD, SHUFFLED };
enum State : unsigned char { READY, AT_BLOCK, AT_WARP, ASLEEP, DONE };
enum What : unsigned char { SYNC, SHUFFLE, BALLOT, TOGETHER };
static const char* const NAMES[] = {"__syncwarp", "a shuffle", "a vote", "an instruction of the warp"};

struct Fiber {
  void* stack_pointer;
  char* stack;
  uint3 thread;
  unsigned block, mask;
  int line, source;      // where it waits; the lane that a shuffle reads
  uint64_t value;        // what it brings to a shuffle or vote, and what it takes away
  State state;
  What what;
  bool woken;            // from a sleep: if it sleeps again, nothing has changed for it
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
static bool failed, moved;  // moved: somebody did more than to look and sleep on

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
  moved = moved || !f.woken || f.state != ASLEEP;
  f.woken = false;
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
  const char* const place = f.state == AT_BLOCK ? "__syncthreads" : f.state == ASLEEP ? "__nanosleep" : NAMES[f.what];
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
static uint64_t meet(What what, unsigned mask, uint64_t value, int source, int line,
                     void (*f)(const uint64_t*) = nullptr) {
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
      results[i] = what == BALLOT ? votes : what == SHUFFLE ? warp[from].value : warp[i].value;
    }
    if (f) f(results);
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

// What all 32 lanes do as one: f gets what each of them brings, from the last to come.
static void together(void (*f)(const uint64_t*), const void* mine, int line) {
  meet(TOGETHER, ~0u, reinterpret_cast<uint64_t>(mine), 0, line, f);
}

static int lane_of_current() {
  unsigned lanes, lane;
  warp_of(*current, lanes, lane);
  return int(lane);
}

}  // namespace cuda_cpu
