// In place of candle-kernels' file of this name: what its kernels need of CUDA, for a processor. `driver.cpp` calls a kernel once
// for each thread of its grid.
#pragma once
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __shared__ static

struct alignas(16) float4 {
    float x, y, z, w;
};
struct Place {
    unsigned x, y, z;
};
extern thread_local Place blockIdx, threadIdx;
extern thread_local Place blockDim, gridDim;

// A type that some of the kernels have and none of ours: enough to compile them.
enum { __NV_E4M3 };
struct __nv_fp8_e4m3 {
    float __x;
    template <typename T>
    __nv_fp8_e4m3(T x) : __x(float(x)) {}
};
static inline float __nv_cvt_fp8_to_halfraw(float x, int) { return x; }
static inline float __half2float(float x) { return x; }

using std::isnan;
using std::max;
using std::min;
static inline void __syncthreads() {}
template <typename T>
static inline T atomicAdd(T *to, T value) {
    T old = *to;
    *to += value;
    return old;
}
static inline float normcdff(float x) { return 0.5f * erfcf(-x * float(M_SQRT1_2)); }
static inline double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
