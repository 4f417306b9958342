// y = a x, for the tests of the loader: a template, a plain kernel, a header, comments in awkward places.
#include "shared.cuh"

template <typename T, int BLOCK = 256>
__global__ void __launch_bounds__(256) scale(const T* __restrict__ x, T* y, T a /* , not a parameter */,
                                             long long n) {  // reads and writes n elements once each
    for (long long i = first<BLOCK>(); i < n; i += (long long)gridDim.x * BLOCK) y[i] = a * x[i];
}

template __global__ void scale<float, 128>(const float*, float*, float, long long);

extern "C" __global__ void mark(unsigned char *flags, const unsigned int count, bool on, double weight, int shift) {
    if (threadIdx.x < count) flags[threadIdx.x] = on && weight > 0 ? 1 << shift : 0;
}
