// Blocks one after another, or all together in a cooperative launch; shared memory is NaN before each.
#pragma once
#include "fibers.h"

namespace cuda_cpu {

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

// One block, until all of its threads have returned (true) or some sleep: other blocks have to do something first.
// Forward and backward, a warp goes as far ahead of the others as it can; shuffled, all threads go side by side: a
// barrier that lacks shows in one or the other.
static bool run_block(Fiber* block, unsigned n) {
  const unsigned ahead = launch.order == SHUFFLED ? n : 32;
  for (;;) {
    bool any = false;
    for (unsigned begin = 0; begin < n; begin += ahead) {
      for (bool here = true; here && !failed; any = any || here) {
        here = false;
        for (unsigned i = begin; i < n && i < begin + ahead && !failed; ++i) {
          Fiber& f = block[order[i]];
          if (f.state == READY) here = true, resume(f);
        }
      }
    }
    if (failed) return true;
    if (any) continue;
    for (unsigned i = 0; i < n; ++i)
      if (block[i].state == ASLEEP) return false;
    const Fiber* waits = &block[0];  // nobody can go on: all must stand at one barrier
    for (unsigned i = 0; i < n && waits->state == DONE; ++i) waits = &block[i];
    for (unsigned i = 0; i < n; ++i) {
      const Fiber& f = block[i];
      const bool here = f.state == waits->state && f.line == waits->line && f.mask == waits->mask;
      const bool needed = waits->state != AT_WARP || (i / 32 == (waits - block) / 32u && waits->mask >> i % 32 & 1);
      if (waits->state != DONE && needed && !here) report("%s, and %s", where(*waits), where(f));
    }
    if (failed || waits->state != AT_BLOCK) return true;
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
      finished = true, moved = false;
      for (unsigned j = 0; j < together && !failed; ++j) {
        const unsigned b = together == 1 ? 0 : block_order[j];
        if (fresh) {
          memset(shared.first, 0xFF, shared.second);
          memset(dynamic_memory, 0xFF, launch.shared_bytes);
        } else {
          memcpy(shared.first, kept[b].data(), shared.second);
          memcpy(dynamic_memory, kept[b].data() + shared.second, launch.shared_bytes);
        }
        finished = run_block(&fibers[size_t(b) * n], n) && finished;
        if (!launch.cooperative) continue;
        kept[b].assign(shared.first, shared.first + shared.second);
        kept[b].insert(kept[b].end(), dynamic_memory, dynamic_memory + launch.shared_bytes);
      }
      if (finished || failed) break;
      for (Fiber& f : fibers) {
        if (f.state != ASLEEP) continue;
        if (!launch.cooperative) report("%s, which needs a cooperative launch", where(f));
        if (!moved) report("%s, and nobody does what it waits for", where(f));
        f.state = READY, f.woken = true;
      }
    }
  }
  for (Fiber& f : fibers)
    if (f.stack) stacks.push_back(f.stack);  // of threads that were left behind by an error
  free(dynamic_memory);
  return failed;
}

}  // namespace cuda_cpu
