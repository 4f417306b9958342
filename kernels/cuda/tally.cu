// The loss of a step added to those of its epoch, and whether training came to a loss that is not finite.
//
// One thread, some forty bytes: what it costs is the launch.
#include "common.cuh"

template <typename S, typename T>
__global__ void tally(const S* sums, const long long* halted, const T* loss, double samples, S* new_sums,
                      long long* new_halted) {
  const S value = S(loss[0]), steps = sums[2] + S(1);
  const bool now = halted[0] == 0 && value - value != S(0);  // infinity and NaN
  new_sums[0] = sums[0] + value * S(samples);
  new_sums[1] = now ? value : sums[1];
  new_sums[2] = steps;
  new_halted[0] = now ? (long long)steps : halted[0];
}
