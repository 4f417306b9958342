// Optimizer steps over the flat arena: one launch for all parameters, penalties and decay in the same pass.
//
// Adam reads p, g, m, v and writes p, m, v: 28 bytes an element in float32; bound by memory. New arrays may be the old
// ones: an element is read before it is written, by the same thread. lr and step are read from the device, so that a
// recorded step sees their present values; the last block to end advances step, which the others read before.
#include "common.cuh"

enum Rule { SGD, MOMENTUM, NESTEROV, ROOT, ADAM };

//   g        += l2 p + l1 sign(p), for the first `decayed` elements
//   SGD       p -= lr g
//   MOMENTUM  s = a s + g; p -= lr s
//   NESTEROV  s = a s + g; p -= lr (g + a s)
//   ROOT      s = a s + b g^2; p -= lr g / (sqrt(s) + eps)
//   ADAM      p -= lr decay p there; s = a s + (1 - a) g; t = b t + (1 - b) g^2; p -= lr s' / (sqrt(t') + eps), where
//             s' = s / (1 - a^k), t' = t / (1 - b^k), in the order of Kingma and Ba, ICLR 2015, section 2
template <typename T, typename L>
__global__ void __launch_bounds__(256, 4)
    step(int rule, const T* p, const T* g, const T* s, const T* t, T* new_p, T* new_s, T* new_t, const L* lr,
         const L* steps, L* next, const long long* unless, double a, double b, double eps, double decay, T l1, T l2,
         long long decayed, long long n) {
  if (unless != nullptr && unless[0] != 0) {
    for (long long i = first(); i < n && p != new_p; i += stride()) {
      new_p[i] = p[i];
      if (s != nullptr) new_s[i] = s[i];
      if (t != nullptr) new_t[i] = t[i];
    }
    if (first() == 0 && next != nullptr) next[0] = steps[0];
    return;
  }
  __shared__ double scalars[2];  // the rate, and eps; powers in float64 are dear, and the same for all
  if (threadIdx.x == 0) {
    const double k = rule == ADAM ? double(steps[0]) + 1 : 0, root = rule == ADAM ? sqrt(1 - pow(b, k)) : 1;
    scalars[0] = rule == ADAM ? double(lr[0]) * root / (1 - pow(a, k)) : double(lr[0]);
    scalars[1] = eps * root;
  }
  __syncthreads();
  const T rate = T(scalars[0]), small = T(scalars[1]), a0 = T(a), b0 = T(b), a1 = T(1 - a), b1 = T(1 - b);
  const T left = T(1 - double(lr[0]) * decay);
  for (long long i = first(); i < n; i += stride()) {
    T x = p[i], d = g[i];
    if (i < decayed) {
      if (l1 != T(0) || l2 != T(0)) d += l2 * x + (x > T(0) ? l1 : x < T(0) ? -l1 : T(0));
      x *= left;
    }
    if (rule == SGD) {
      x -= rate * d;
    } else if (rule == MOMENTUM || rule == NESTEROV) {
      const T v = a0 * s[i] + d;
      new_s[i] = v;
      x -= rate * (rule == NESTEROV ? d + a0 * v : v);
    } else if (rule == ROOT) {
      const T v = a0 * s[i] + b0 * d * d;
      new_s[i] = v;
      x -= rate * d / (sqrt(v) + small);
    } else {
      const T m = a0 * s[i] + a1 * d, v = b0 * t[i] + b1 * d * d;
      new_s[i] = m, new_t[i] = v;
      x -= rate * m / (sqrt(v) + small);
    }
    new_p[i] = x;
  }
  if (next != nullptr && last_block()) next[0] = steps[0] + L(1);
}

// The sum of squares of each block's share, in float64: the squares of 1e20 are beyond float32.
template <typename T>
__global__ void __launch_bounds__(256, 4) squares(const T* g, double* sums, long long n) {
  double sum = 0;
  for (long long i = first(); i < n; i += stride()) sum += double(g[i]) * double(g[i]);
  sum = block_reduce<256>(sum, 0.0, Plus());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// g scaled to a norm of at most `limit`; every block adds up the same sums in the same order. NaN if it is not finite.
template <typename T>
__global__ void __launch_bounds__(256, 4)
    clip(const T* g, T* out, const double* sums, int parts, double limit, T* norm_out, long long n) {
  double sum = 0;
  for (int i = threadIdx.x; i < parts; i += 256) sum += sums[i];
  const double norm = sqrt(block_reduce<256>(sum, 0.0, Plus()));
  const double factor = (norm > limit ? limit / norm : 1.0) + (norm - norm);
  if (first() == 0) norm_out[0] = T(norm);
  if (factor == 1 && g == out) return;
  for (long long i = first(); i < n; i += stride()) out[i] = T(double(g[i]) * factor);
}
