// Sine and cosine of any number, without the stack that CUDA's own take to reduce large ones.
//
// x = (q / 2 + t) pi, q whole, |t| <= 1/4, by Payne and Hanek's method: x is m 2^e with m whole, and of 2/pi only those
// bits are multiplied that make less than four quarter turns. Integers alone, exact to 2^-126 of a turn (the double
// closest to a multiple of pi/2 is some 2^-62 from it), so that t has all of its digits. One way for all from 0.5 on.
#pragma once
#include "common.cuh"

// The bits of 2/pi, behind 64 zeros.
__device__ const unsigned long long TWO_OVER_PI[20] = {
    0,
    0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0,
    0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4,
    0x9C845F8BBDF9283B, 0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB,
};

__device__ inline unsigned long long bits_of_two_over_pi(int start) {
  const int word = start / 64, shift = start % 64;
  const unsigned long long high = TWO_OVER_PI[word] << shift;
  return shift ? high | TWO_OVER_PI[word + 1] >> (64 - shift) : high;
}

// sin(x + quarter pi / 2)
template <typename T>
__device__ T sine(T x, int quarter) {
  if (!(fabs(x) < infinity<T>())) return not_a_number<T>();
  double t = double(x) * 0.3183098861837907;  // 1 / pi
  int q = 0;
  if (fabs(x) >= T(0.5)) {
    const unsigned long long bits = (unsigned long long)__double_as_longlong(double(x));
    const unsigned long long m = (bits & 0xFFFFFFFFFFFFFull) | 1ull << 52;
    const int start = int(bits >> 52 & 0x7FF) - 1075 + 62;  // m times what is before makes whole turns
    const unsigned long long first = bits_of_two_over_pi(start), second = bits_of_two_over_pi(start + 64);
    const unsigned long long third = __umul64hi(m, bits_of_two_over_pi(start + 128));
    const unsigned long long low = m * second + third, carry = low < third;
    const unsigned long long high = m * first + __umul64hi(m, second) + carry;  // two bits of quarters, then what is less
    q = int((high + (1ull << 61)) >> 62);
    const unsigned long long rest = high - ((unsigned long long)q << 62), flip = rest >> 63 ? ~0ull : 0;
    t = double(rest ^ flip) * 0x1p-63 + double(low ^ flip) * 0x1p-127;  // of one sign: nothing cancels
    if ((flip != 0) != (x < T(0))) t = -t;
    if (x < T(0)) q = -q;
  }
  q += quarter;
  const T y = q & 1 ? cospi(T(t)) : sinpi(T(t));
  return q & 2 ? -y : y;
}
