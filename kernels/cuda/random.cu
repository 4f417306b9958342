// The next draw of a stream: its state (key low, key high, draw low, draw high) with the draw one higher.
//
// One thread; 32 bytes. In place too, so that a replayed step draws anew.
__global__ void advance(const unsigned* state, unsigned* next) {
  const unsigned low = state[2] + 1;
  next[0] = state[0], next[1] = state[1], next[3] = state[3] + (low == 0), next[2] = low;
}
