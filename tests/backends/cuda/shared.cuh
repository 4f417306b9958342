template <int BLOCK>
__device__ long long first() {
    return (long long)blockIdx.x * BLOCK + threadIdx.x;
}
