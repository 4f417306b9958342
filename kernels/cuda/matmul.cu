// out = A B: batches of products, of operands that may be transposed or the same for several products.
//
// Reads A N / SIDE times and B M / SIDE times, mostly from L2, and writes out once. Bound by arithmetic where K is long
// and the tiles are many; by latency where they are few: then small tiles, and blocks that share K (gemm.cuh). Their
// sums go to scratch, part by part, and `total` adds them up, in order.
#include "gemm.cuh"

// Products (i, j) for i < batches / inner, j < inner, each a sum of `summed` products; A and B begin at a + i a0 + j a1.
template <typename F, int SIDE>
__global__ void __launch_bounds__(256, 2)
    product(const Stored<F>* a, long long a_row, long long a_k, const Stored<F>* b, long long b_column, long long b_k,
            Stored<F>* out, int M, int N, int K, int inner, long long a0, long long a1, long long b0, long long b1,
            int summed, long long a_step, long long b_step, int parts, int tiles) {
  using T = Stored<F>;
  __shared__ Stage<F, SIDE> stage;
  const int batch = blockIdx.x / tiles;
  a += batch / inner * a0 + batch % inner * a1;
  b += batch / inner * b0 + batch % inner * b1;
  const Operand<Plain<T>> rows{{a}, a_row, a_k, M}, columns{{b}, b_column, b_k, N};
  const Depth depth{K, parts, summed, a_step, b_step};
  tile_of_product<F, SIDE>(stage, blockIdx.x % tiles, rows, columns, depth, [=](int part, int m, int n, T sum) {
    out[(((long long)batch * parts + part) * M + m) * N + n] = sum;
  });
}

// out[i] = the sum of the parts of element i; n of them, `size` in each product.
template <typename T>
__global__ void __launch_bounds__(256, 4) total(const T* sums, T* out, int parts, long long size, long long n) {
  for (long long i = first(); i < n; i += stride())
    out[i] = sum_of_parts(sums + i / size * size * parts, i % size, parts, size);
}
