// A barrier for all blocks of a cooperative launch, which run at the same time.
//
// The first block adds to a counter what the others lack to 2^31, each of them 1: who comes last turns its highest bit,
// whichever way that stood. So the counter is ready again for the next barrier, launch or replay, and no header of
// CUDA's is needed, which may be missing where kernels are compiled. Kernels of a module run one after the other.
#pragma once

__device__ unsigned blocks_come = 0;
__device__ inline void grid_barrier() {
  __syncthreads();  // every thread of this block has written what it writes
  if (threadIdx.x == 0) {
    const unsigned others = gridDim.x * gridDim.y - 1;
    __threadfence();  // and it is there for all
    const unsigned before = atomicAdd(&blocks_come, blockIdx.x + blockIdx.y ? 1 : 0x80000000 - others);
    while (((before ^ *static_cast<volatile unsigned*>(&blocks_come)) >> 31) == 0) __nanosleep(20);
    __threadfence();  // what is read from here on is what others have written
  }
  __syncthreads();
}
