struct Pair { float a, b; };
__global__ void pairs(const Pair* p, int n) {}
struct Mixed { int n; float a; };
__global__ void mixed(Mixed m) {}
struct Window {
  int n[2], step;  // two lengths
  long long size;
  __device__ int area() const { return n[0] * n[1]; }
};
__global__ void slide(float* x, const Window w, int m) {}
