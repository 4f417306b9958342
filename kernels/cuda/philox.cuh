// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC11 (2011), section 3.3): the words of xpnn/core/random.py.
#pragma once

// Words 4 block .. 4 block + 3 of the stream and draw that state (4) names. About 100 instructions of 32 bits.
__device__ inline void philox(const unsigned* state, unsigned block, unsigned (&words)[4]) {
  unsigned c0 = block, c1 = 0, c2 = state[2], c3 = state[3], k0 = state[0], k1 = state[1];
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

// The state with its draw, of 64 bits, one higher; in place too.
__device__ inline void next_draw(const unsigned* state, unsigned* next) {
  const unsigned low = state[2] + 1;
  next[0] = state[0], next[1] = state[1], next[3] = state[3] + (low == 0), next[2] = low;
}
