// The twin of kernels/cuda/ptx.cuh: the same functions, for fibers. What tensor cores do not read is cut off.
#pragma once

void ask_for(const void*) {}

unsigned short bf16_bits(float x) {
  const unsigned bits = unsigned(__float_as_int(x));
  if (x != x) return 0x7FFF;
  return static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

unsigned short fp16_bits(float x) {
  const _Float16 rounded = static_cast<_Float16>(x);
  unsigned short bits;
  memcpy(&bits, &rounded, 2);
  return x != x ? 0x7FFF : bits;
}

float fp16_number(unsigned short bits) {
  _Float16 x;
  memcpy(&x, &bits, 2);
  return x;
}

float tf32_of_word(unsigned word, int) { return __int_as_float(int(word & ~0x1FFFu)); }
float bf16_of_word(unsigned word, int i) { return __int_as_float(int((i ? word >> 16 : word & 0xFFFF) << 16)); }
float fp16_of_word(unsigned word, int i) {
  return fp16_number(static_cast<unsigned short>(i ? word >> 16 : word));
}

// What a lane brings: its registers, and how many numbers a word has.
struct Fragments {
  const unsigned *a, *b;
  float* c;
  int pack;
  float (*number)(unsigned, int);
};

// By the layouts of the PTX ISA, of mma.m16n8k8 (.tf32) and mma.m16n8k16 (.bf16, .f16): rows of A, columns of B.
void multiply_fragments(const uint64_t* lanes) {
  float a[16][16], b[16][8];
  const auto of = [&](int lane) -> const Fragments& { return *reinterpret_cast<const Fragments*>(lanes[lane]); };
  const int pack = of(0).pack;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < 4 * pack; ++i) {
      const int row = i / pack % 2 == 0 ? group : group + 8;
      const int column = in_group * pack + i % pack + (i / pack < 2 ? 0 : 4 * pack);
      a[row][column] = of(lane).number(of(lane).a[i / pack], i % pack);
    }
    for (int i = 0; i < 2 * pack; ++i)
      b[in_group * pack + i % pack + (i < pack ? 0 : 4 * pack)][group] = of(lane).number(of(lane).b[i / pack], i % pack);
  }
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? lane >> 2 : (lane >> 2) + 8, column = lane % 4 * 2 + (i & 1);
      for (int k = 0; k < 8 * pack; ++k) of(lane).c[i] += a[row][k] * b[k][column];
    }
}

void multiply(float* c, const unsigned* a, const unsigned* b, int pack, float (*number)(unsigned, int), int line) {
  const Fragments mine{a, b, c, pack, number};
  cuda_cpu::together(multiply_fragments, &mine, line);
}
void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], CUDA_CPU_LINE) {
  multiply(c, a, b, 1, tf32_of_word, line);
}
void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], CUDA_CPU_LINE) {
  multiply(c, a, b, 2, bf16_of_word, line);
}
void mma_fp16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], CUDA_CPU_LINE) {
  multiply(c, a, b, 2, fp16_of_word, line);
}
