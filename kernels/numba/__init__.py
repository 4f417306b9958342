"""CPU kernels, compiled by Numba on first use and cached on disk."""
