struct Pair { float a, b; };
__global__ void pairs(const Pair* p, int n) {}
