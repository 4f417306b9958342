// y = f(x w + b), and the gradients of x, w and b: one launch each way, by tiles (gemm.cuh).
//
// forward reads x O / SIDE times and w N / SIDE times, mostly from L2, and writes y, and z = x w + b where backward
// wants it. backward makes dx = dz w^T in some blocks and dw = x^T dz in the others, and forms dz = dy f'(z) as it reads
// dy. The sum of dz is one row more of x^T dz: a row of ones. Bound by latency for small layers, else by arithmetic.
// Where few blocks share a long K, their sums go to scratch; a second launch adds them up, in order.
#include "activation.cuh"
#include "gemm.cuh"

template <typename T>
struct Finish {
  const T* b;
  T *z, *y;
  int code;
  T p;

  __device__ void operator()(long long i, int o, T sum) const {
    if (b != nullptr) sum += b[o];
    if (z != nullptr) z[i] = sum;
    y[i] = activate(code, p, sum);
  }
};

// b: null for none; z: null where backward does not read it; sums: scratch, where K has parts.
template <typename F, int SIDE>
__global__ void __launch_bounds__(256, 2)
    forward(const Stored<F>* x, const Stored<F>* w, const Stored<F>* b, Stored<F>* z, Stored<F>* y, Stored<F>* sums,
            int code, Stored<F> p, int N, int I, int O, int parts) {
  using T = Stored<F>;
  __shared__ Stage<F, SIDE> stage;
  const Operand<Plain<T>> rows{{x}, I, 1, N}, columns{{w}, 1, O, O};
  const Finish<T> finish{b, z, y, code, p};
  tile_of_product<F, SIDE>(stage, blockIdx.x, rows, columns, {I, parts}, [=](int part, int n, int o, T sum) {
    if (parts == 1) finish((long long)n * O + o, o, sum);
    else sums[((long long)part * N + n) * O + o] = sum;
  });
}

template <typename T>
__global__ void __launch_bounds__(256, 4)
    forward_total(const T* sums, const T* b, T* z, T* y, int code, T p, int O, int parts, long long n) {
  const Finish<T> finish{b, z, y, code, p};
  for (long long i = first(); i < n; i += stride()) finish(i, int(i % O), sum_of_parts(sums, i, parts, n));
}

// dz by its elements.
template <typename T>
struct Slope {
  const T *dy, *kept;
  int code;
  T p;
};
template <typename T>
__device__ Pack<T> four(const Slope<T>& dz, long long i, int there) {
  Pack<T> found = four(Plain<T>{dz.dy}, i, there);
  if (dz.code == NONE) return found;
  const Pack<T> kept = four(Plain<T>{dz.kept}, i, there);
#pragma unroll
  for (int j = 0; j < 4; ++j) found.v[j] = short_back(dz.code, dz.p, kept.v[j], found.v[j]);
  return found;
}

// The first x_blocks make dx; of dw, the first `rows` and, in db, the sums of dz, where it is not null.
template <typename F, int SIDE>
__global__ void __launch_bounds__(256, 2)
    backward(const Stored<F>* dy, const Stored<F>* kept, int code, Stored<F> p, const Stored<F>* x, const Stored<F>* w,
             Stored<F>* dx, Stored<F>* dw, Stored<F>* db, int N, int I, int O, int rows, int x_blocks, int x_parts,
             int w_parts) {
  using T = Stored<F>;
  __shared__ Stage<F, SIDE> stage;
  const Slope<T> dz{dy, kept, code, p};
  if (blockIdx.x < x_blocks) {
    const Operand<Slope<T>> a{dz, O, 1, N};
    const Operand<Plain<T>> b{{w}, O, 1, I};
    tile_of_product<F, SIDE>(stage, blockIdx.x, a, b, {O, x_parts}, [=](int part, int n, int i, T sum) {
      dx[((long long)part * N + n) * I + i] = sum;
    });
  } else {
    const Operand<Plain<T>> a{{x}, 1, I, rows, db != nullptr};
    const Operand<Slope<T>> b{dz, 1, O, O};
    tile_of_product<F, SIDE>(stage, blockIdx.x - x_blocks, a, b, {N, w_parts}, [=](int part, int i, int o, T sum) {
      if (i == rows) db[(long long)part * O + o] = sum;
      else dw[((long long)part * rows + i) * O + o] = sum;
    });
  }
}

// Up to three arrays of so many elements; one that needs no sum has none.
template <typename T>
__global__ void __launch_bounds__(256, 4)
    backward_total(const T* x_sums, T* dx, int x_parts, long long x_size, const T* w_sums, T* dw, const T* b_sums,
                   T* db, int w_parts, long long w_size, long long b_size) {
  for (long long i = first(); i < x_size + w_size + b_size; i += stride()) {
    const long long j = i - x_size, k = j - w_size;
    if (j < 0) dx[i] = sum_of_parts(x_sums, i, x_parts, x_size);
    else if (k < 0) dw[j] = sum_of_parts(w_sums, j, w_parts, w_size);
    else db[k] = sum_of_parts(b_sums, k, w_parts, b_size);
  }
}
