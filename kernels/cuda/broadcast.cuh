// Arrays that are repeated along some axes, each walked by its strides over the same four axes.
#pragma once
#include "common.cuh"

// axes: how many of the four count, the last ones; n: their lengths; x, y, z: strides in elements, 0 where an array is
// repeated. Elements are counted in 32 bits.
struct Walk {
  int n[4], x[4], y[4], z[4], axes;
};

// Where element number e of the walk is.
struct Index {
  int i[4];

  __device__ Index(const Walk& w, int e) {
#pragma unroll
    for (int k = 3; k > 0; --k) {
      const int before = w.axes > 4 - k ? e / w.n[k] : 0;
      i[k] = e - before * w.n[k];
      e = before;
    }
    i[0] = e;
  }
  __device__ int in(const int (&s)[4]) const { return i[0] * s[0] + i[1] * s[1] + i[2] * s[2] + i[3] * s[3]; }
};
