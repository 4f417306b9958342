// The steps of a recurrent layer: a product with the recurrent weights, and the gates where its sums are.
//
// A block has 16 units of 16 sequences (more, one after another, where the grid is short of blocks) and 256 threads.
// Steps are numbered as they are taken; `row` says where a step's numbers are, if the sequence has such a step. What
// lies beyond is neither read nor multiplied.
#pragma once
#include "recurrent_tensor.cuh"

template <typename T>
struct Layer {
  const int* lengths;  // or null
  int N, steps, H, reverse;
  const T *u, *h0, *c0;
  T *y, *gates, *saved;

  // Of step s of sequence n in (N, steps): -1 where it has none.
  __device__ int row(int n, int s) const {
    if (n >= N) return -1;
    const int t = reverse ? steps - 1 - s : s, length = lengths ? lengths[n] : steps;
    return t >= 0 && t < length ? n * steps + t : -1;
  }
  __device__ int padding(int n, int s) const { return n * steps + (reverse ? steps - 1 - s : s); }
  // Where numbers of unit j are, of arrays with so many numbers of every unit in a row.
  __device__ long long at(int row, int j, int gates = 1, int gate = 0) const {
    return ((long long)row * gates + gate) * H + j;
  }
};

template <typename T>
struct Ends {  // forward: states after the last step; backward: their gradients, and those of the first states
  T *h, *c;
};

// What of a turn is there before the step begins is read when its product begins; a turn before, it is asked for.
struct Read {
  template <typename T>
  __device__ T operator()(const T* x) const { return *x; }
};
struct Ask {
  template <typename T>
  __device__ T operator()(const T* x) const { return ask_for(x), T(0); }
};

template <typename F, typename Cell, bool RESIDENT>
struct Forward {
  using T = Stored<F>;
  static constexpr int G = Cell::GATES;
  using Product = Sums<F, Forth<G>, RESIDENT>;
  Layer<T> q;
  const T* bias;
  Ends<T> end;
  Handed<F> handed;
  Product product;

  struct There { T z[G]; };
  template <typename Get>
  __device__ There there(int s, int n0, Get get) const {
    const int n = n0 + Product::row(), j = blockIdx.x * ROWS + Product::unit(), now = j < q.H ? q.row(n, s) : -1;
    There a;
    for (int g = 0; g < G; ++g) a.z[g] = now < 0 ? T(0) : get(q.gates + q.at(now, j, G, g));
    return a;
  }

  __device__ void turn(int s, int n0) const {
    const int H = q.H, n = n0 + Product::row(), j = blockIdx.x * ROWS + Product::unit();
    const bool mine = n < q.N && j < H;
    const int now = mine ? q.row(n, s) : -1, before = q.row(n, s - 1), state = n * H + j;
    There a = there(s, n0, Read());
    T h = T(0), c = T(0), p[G], saved;
    if (mine) h = before < 0 ? q.h0[state] : q.y[q.at(before, j)];
    if (mine && Cell::CELL) c = before < 0 ? q.c0[state] : q.saved[q.at(before, j)];
    if (mine && Cell::HIDDEN_BIAS) c = bias[j];
    product.multiply(
        [&](int other) -> const T* {
          const int before = q.row(other, s - 1);
          return q.row(other, s) < 0 ? nullptr : before < 0 ? q.h0 + q.at(other, 0) : q.y + q.at(before, 0);
        },
        handed, s, n0, p);
    if (now >= 0) {
      h = Cell::forward(a.z, p, h, c, saved);
      for (int g = 0; g < G; ++g) q.gates[q.at(now, j, G, g)] = a.z[g];
      if (q.saved) q.saved[q.at(now, j)] = saved;
      q.y[q.at(now, j)] = h;
      if (q.row(n, s + 1) < 0) {
        end.h[state] = h;
        if (Cell::CELL) end.c[state] = saved;
      }
    } else if (mine) {
      q.y[q.at(q.padding(n, s), j)] = T(0);
      if (s == 0 && q.lengths[n] == 0) {
        end.h[state] = h;
        if (Cell::CELL) end.c[state] = c;
      }
    }
    if (n < q.N) handed.put(s + 1, n, j, h);
  }
};

// From the last step to the first; step -1 leaves the gradients of the initial states.
// dz, dp (N, steps, GATES, H): the gradients of the sums by x and by h, one array where these are one; carry (N, H).
template <typename F, typename Cell, bool RESIDENT>
struct Backward {
  using T = Stored<F>;
  static constexpr int G = Cell::GATES;
  using Product = Sums<F, Back<G>, RESIDENT>;
  Layer<T> q;
  const T* dy;
  Ends<const T> dend;
  T *dz, *dp, *carry;
  Ends<T> dfirst;
  Handed<F> handed;
  Product product;

  struct There { T gates[G], saved, h, c, dy; };
  template <typename Get>
  __device__ There there(int s, int n0, Get get) const {
    const int H = q.H, n = n0 + Product::row(), j = blockIdx.x * ROWS + Product::unit();
    const int now = j < H ? q.row(n, s) : -1, before = q.row(n, s - 1), state = n * H + j;
    There a = {};
    if (now < 0) return a;
    for (int g = 0; g < G; ++g) a.gates[g] = get(q.gates + q.at(now, j, G, g));
    if (q.saved) a.saved = get(q.saved + q.at(now, j));
    if (Cell::CELL) a.c = get(before < 0 ? q.c0 + state : q.saved + q.at(before, j));
    a.h = get(before < 0 ? q.h0 + state : q.y + q.at(before, j));
    a.dy = get(dy + q.at(now, j));
    return a;
  }

  __device__ void turn(int s, int n0) const {
    const int H = q.H, n = n0 + Product::row(), j = blockIdx.x * ROWS + Product::unit();
    const bool mine = n < q.N && j < H;
    const int now = q.row(n, s), after = q.row(n, s + 1), state = n * H + j;
    const There a = there(s, n0, Read());
    T dc = mine && after >= 0 && carry ? carry[state] : T(0), p[1] = {}, out[G] = {}, out_h[G] = {};
    if (s + 1 < q.steps)
      product.multiply(
          [&](int other) -> const T* {
            const int after = q.row(other, s + 1);
            return after < 0 ? nullptr : dp + q.at(after, 0, G);
          },
          handed, s + 1, n0, p);
    T dh = p[0];
    if (mine && after < 0) {
      dh = dend.h[state];
      if (Cell::CELL) dc = dend.c[state];
    }
    if (mine && now >= 0) {
      Cell::backward(a.gates, a.saved, a.h, a.c, dh + a.dy, dc, out, out_h);
      for (int g = 0; g < G; ++g) {
        dz[q.at(now, j, G, g)] = out[g];
        if (Cell::HIDDEN_BIAS) dp[q.at(now, j, G, g)] = out_h[g];
      }
      if (carry) carry[state] = dc;
    } else if (mine) {
      if (s >= 0)
        for (int g = 0; g < G; ++g) dz[q.at(q.padding(n, s), j, G, g)] = dp[q.at(q.padding(n, s), j, G, g)] = T(0);
      if (after >= 0 || (s < 0 && q.lengths && q.lengths[n] == 0)) {
        if (dfirst.h) dfirst.h[state] = Cell::CELL ? dh : dh + dc;
        if (Cell::CELL && dfirst.c) dfirst.c[state] = dc;
      }
    }
    if (n < q.N)
      for (int g = 0; g < G; ++g) handed.put(s, n, g * whole(H) + j, out_h[g]);
  }
};
