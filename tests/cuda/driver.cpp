// CUDA's driver, cuBLAS and cuRAND as far as candle calls them here, on a processor: what `just check-cuda` runs the tests of the
// GPU path with. Memory is the host's, candle's own kernels are compiled for the processor (f32 alone) and called thread by
// thread, and products are loops. A kernel that nvcc did not make is none here either. What is asked of the GPU is counted:
// `emulated_counts` tells it.
//
// EMULATED_GPUS=0 is a machine without a GPU, EMULATED_DRIVER=12020 a driver of CUDA 12.2.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "compatibility.cuh"
thread_local Place blockIdx, threadIdx, blockDim, gridDim;

#include "affine.cu"
#include "binary.cu"
#include "cast.cu"
#include "conv.cu"
#include "fill.cu"
#include "indexing.cu"
#include "ternary.cu"
#include "unary.cu"

// Theirs shares memory between threads; one thread per sum does it here.
extern "C" void fast_sum_f32(const size_t numel, const size_t per_sum, const size_t num_dims, const size_t *info,
                             const float *src, float *dst) {
    if (threadIdx.x != 0) return;
    double sum = 0;
    for (size_t i = 0; i < per_sum; i++) {
        sum += src[get_strided_index(blockIdx.x * per_sum + i, num_dims, info, info + num_dims)];
    }
    dst[blockIdx.x] = float(sum);
}

namespace {

struct Kernel {
    std::string name;
    void (*run)(void **arguments);
};

template <auto kernel>
struct Call;
template <typename... A, void (*kernel)(A...)>
struct Call<kernel> {
    template <size_t... I>
    static void unpack(void **p, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_const_t<A> *>(p[I])...);
    }
    static void run(void **p) { unpack(p, std::index_sequence_for<A...>()); }
};

#define K(name) {#name, Call<&name>::run}
const std::map<std::string, void (*)(void **)> KERNELS = {
    K(affine_f32),    K(badd_f32),       K(bsub_f32),      K(bmul_f32),       K(bdiv_f32),     K(bmaximum_f32),
    K(gt_f32),        K(cast_u8_f32),    K(const_set_f32), K(copy2d_f32),     K(copy2d_u8),    K(is_u32_f32),
    K(where_u8_f32),  K(uneg_f32),       K(uabs_f32),      K(uexp_f32),       K(ulog_f32),     K(urelu_f32),
    K(usqr_f32),      K(usqrt_f32),      K(utanh_f32),     K(ucopy_f32),      K(upowf_f32),    K(urecip_f32),
    K(im2col_f32),    K(max_pool2d_f32), K(avg_pool2d_f32), K(fast_sum_f32),
};
#undef K

enum { LAUNCHES, PRODUCTS, COPIES, TO_DEVICE, TO_DEVICE_BYTES, TO_HOST, TO_HOST_BYTES, BYTES, FLOPS, COUNTS };
std::mutex lock;
unsigned long long counts[COUNTS];
std::map<std::string, unsigned long long> by_name;
bool computes = true;

void count(int what, unsigned long long n = 1) {
    std::lock_guard<std::mutex> guard(lock);
    counts[what] += n;
}

size_t size_of(const std::string &type) {
    if (type == "u8") return 1;
    if (type == "bf16" || type == "f16" || type == "i16") return 2;
    return type == "f64" || type == "i64" ? 8 : 4;
}

// Numbers of an operand, each counted once however often it is read.
size_t distinct(size_t numel, size_t dims, const size_t *info, size_t operand) {
    if (!info) return numel;
    size_t n = 1;
    for (size_t d = 0; d < dims; d++) {
        if (info[(operand + 1) * dims + d] != 0) n *= info[d];
    }
    return n;
}

// The bytes that a kernel has to read and write.
size_t traffic(const std::string &name, void **p, size_t threads) {
    auto number = [&](int i) { return *static_cast<size_t *>(p[i]); };
    auto pointer = [&](int i) { return *static_cast<const size_t **>(p[i]); };
    auto is = [&](const char *prefix) { return name.rfind(prefix, 0) == 0; };
    size_t last = name.rfind('_'), numel = number(0);
    size_t one = size_of(name.substr(last + 1));
    if (is("copy2d")) {
        return size_t(*static_cast<uint32_t *>(p[2])) * *static_cast<uint32_t *>(p[3]) * 2 * one;
    }
    if (is("const_set")) return numel * one;
    if (is("is_")) {
        size_t source = number(6) * number(7) * number(9);
        return (numel + std::min(numel, source)) * one + number(8) * 4;
    }
    if (is("where_")) {
        size_t dims = number(1);
        return numel * (one + 1) + (distinct(numel, dims, pointer(2), 1) + distinct(numel, dims, pointer(2), 2)) * one;
    }
    if (is("im2col")) {
        const size_t *dims = pointer(8);
        return (numel + dims[0] * dims[1] * dims[2] * dims[3]) * one;
    }
    if (is("max_pool2d") || is("avg_pool2d")) return (numel + threads) * one;
    if (is("fast_sum")) return (numel + numel / number(1)) * one;
    size_t read = distinct(numel, number(1), pointer(2), 0) * one;
    if (is("cast_")) {
        size_t from = size_of(name.substr(5, last - 5));
        return read / one * from + numel * one;
    }
    if (is("u") || is("affine")) return read + numel * one;
    read += distinct(numel, number(1), pointer(2), 1) * one;
    return read + numel * (is("b") ? one : 1);
}

int environment(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

}  // namespace

extern "C" {

// Copies what was counted since the last call, in the order of the enumeration above.
void emulated_counts(unsigned long long *out) {
    std::lock_guard<std::mutex> guard(lock);
    memcpy(out, counts, sizeof counts);
    memset(counts, 0, sizeof counts);
    if (getenv("EMULATED_NAMES")) {
        for (auto &[name, n] : by_name) fprintf(stderr, "%llu %s\n", n, name.c_str());
        by_name.clear();
    }
}
// Whether kernels and products compute, or are counted alone.
void emulated_computes(int yes) { computes = yes; }

// What to answer: the numbers of cuda.h.
enum { OK = 0, NO_MEMORY = 2, NO_DEVICE = 100, NO_SUCH_DEVICE = 101, NOT_FOUND = 500 };

int cuDriverGetVersion(int *version) { return *version = environment("EMULATED_DRIVER", 13000), OK; }
int cuInit(unsigned) { return environment("EMULATED_GPUS", 1) > 0 ? OK : NO_DEVICE; }
int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal < environment("EMULATED_GPUS", 1) ? OK : NO_SUCH_DEVICE;
}
int cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &computes, OK; }
int cuMemPoolSetAttribute(void *, int, void *) { return OK; }
int cuDeviceGetAttribute(int *value, int, int) { return *value = 1, OK; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &computes, OK; }
int cuDevicePrimaryCtxRelease_v2(int) { return OK; }
int cuCtxDestroy_v2(void *) { return OK; }
int cuCtxGetCurrent(void **context) { return *context = &computes, OK; }
int cuCtxSetCurrent(void *) { return OK; }
int cuCtxSynchronize() { return OK; }
int cuGetErrorString(int error, const char **text) {
    *text = error == NO_DEVICE        ? "no CUDA-capable device is detected"
            : error == NO_SUCH_DEVICE ? "invalid device ordinal"
                                      : "emulated error";
    return OK;
}
int cuEventCreate(void **event, unsigned) { return *event = &computes, OK; }
int cuEventDestroy_v2(void *) { return OK; }
int cuEventRecord(void *, void *) { return OK; }
int cuStreamCreate(void **stream, unsigned) { return *stream = &counts, OK; }
int cuStreamDestroy_v2(void *) { return OK; }
int cuStreamSynchronize(void *) { return OK; }
int cuStreamWaitEvent(void *, void *, unsigned) { return OK; }
int cuStreamIsCapturing(void *, int *capturing) { return *capturing = 0, OK; }

int cuMemAllocAsync(void **memory, size_t bytes, void *) {
    *memory = aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
    if (!*memory) return NO_MEMORY;
    // NaN: what is read before it was written shows.
    if (computes) memset(*memory, 0xff, bytes);
    return OK;
}
int cuMemAlloc_v2(void **memory, size_t bytes) { return cuMemAllocAsync(memory, bytes, nullptr); }
int cuMemFreeAsync(void *memory, void *) { return free(memory), OK; }
int cuMemFree_v2(void *memory) { return free(memory), OK; }
// All is sent on the one stream that was made, so that it is done in order.
static int sent(void *stream) {
    if (stream != &counts) fprintf(stderr, "emulated GPU: work on another stream\n"), abort();
    return OK;
}
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    count(COPIES), count(BYTES, 2 * bytes);
    return memmove(to, from, bytes), sent(stream);
}
int cuMemcpyPeerAsync(void *, void *, const void *, void *, size_t, void *) { return NOT_FOUND; }
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    count(TO_DEVICE), count(TO_DEVICE_BYTES, bytes);
    return memcpy(to, from, bytes), sent(stream);
}
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    count(TO_HOST), count(TO_HOST_BYTES, bytes);
    return memcpy(to, from, bytes), sent(stream);
}
int cuMemsetD8Async(void *to, unsigned char value, size_t bytes, void *stream) {
    count(COPIES), count(BYTES, bytes);
    return memset(to, value, bytes), sent(stream);
}

int cuModuleLoad(void **, const char *) { return NOT_FOUND; }
// What nvcc made of candle's kernels, as text.
int cuModuleLoadData(void **module, const void *ptx) {
    return *module = new std::string(static_cast<const char *>(ptx)), OK;
}
int cuModuleUnload(void *module) { return delete static_cast<std::string *>(module), OK; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    if (static_cast<std::string *>(module)->find(std::string(".entry ") + name + "(") == std::string::npos) {
        fprintf(stderr, "emulated GPU: nvcc made no kernel %s\n", name);
        return NOT_FOUND;
    }
    static std::map<std::string, Kernel> made;
    std::lock_guard<std::mutex> guard(lock);
    auto known = KERNELS.find(name);
    Kernel kernel = {name, known == KERNELS.end() ? nullptr : known->second};
    *function = &made.emplace(name, kernel).first->second;
    return OK;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void *stream, void **arguments, void **) {
    const Kernel &kernel = *static_cast<Kernel *>(function);
    count(LAUNCHES), count(BYTES, traffic(kernel.name, arguments, size_t(gx) * bx));
    {
        std::lock_guard<std::mutex> guard(lock);
        by_name[kernel.name]++;
    }
    sent(stream);
    if (!computes) return OK;
    if (!kernel.run || gy * gz * by * bz != 1) {
        fprintf(stderr, "emulated GPU: no kernel %s\n", kernel.name.c_str());
        return NOT_FOUND;
    }
    gridDim = {gx, 1, 1}, blockDim = {bx, 1, 1};
    for (blockIdx = {0, 0, 0}; blockIdx.x < gx; blockIdx.x++) {
        for (threadIdx = {0, 0, 0}; threadIdx.x < bx; threadIdx.x++) kernel.run(arguments);
    }
    return OK;
}

int cublasCreate_v2(void **handle) { return *handle = &computes, OK; }
int cublasDestroy_v2(void *) { return OK; }
int cublasSetStream_v2(void *, void *stream) { return sent(stream); }
int cublasDgemmStridedBatched() { return 15; }
// Columns first, as cuBLAS has it: C (m×n) = A (m×k)·B (k×n).
int cublasGemmStridedBatchedEx(void *, int transa, int transb, int m, int n, int k, const void *alpha, const void *A,
                               int type, int lda, long long stride_a, const void *B, int, int ldb, long long stride_b,
                               const void *, void *C, int, int ldc, long long stride_c, int batch, int, int) {
    size_t one = type == 0 ? 4 : 2;
    size_t numbers = size_t(m) * k + size_t(k) * n + size_t(m) * n;
    count(PRODUCTS), count(FLOPS, 2ull * m * n * k * batch), count(BYTES, numbers * batch * one);
    if (!computes) return OK;
    if (type != 0 || *static_cast<const float *>(alpha) != 1) return 15;
    std::vector<float> left(size_t(k) * m);
    for (int of = 0; of < batch; of++) {
        auto *a = static_cast<const float *>(A) + of * stride_a, *b = static_cast<const float *>(B) + of * stride_b;
        auto *c = static_cast<float *>(C) + of * stride_c;
        for (int l = 0; l < k; l++) {
            for (int i = 0; i < m; i++) left[size_t(l) * m + i] = transa ? a[size_t(i) * lda + l] : a[size_t(l) * lda + i];
        }
        std::vector<float> column(m);
        for (int j = 0; j < n; j++) {
            std::fill(column.begin(), column.end(), 0.f);
            for (int l = 0; l < k; l++) {
                float factor = transb ? b[size_t(l) * ldb + j] : b[size_t(j) * ldb + l];
                for (int i = 0; i < m; i++) column[i] += factor * left[size_t(l) * m + i];
            }
            memcpy(c + size_t(j) * ldc, column.data(), sizeof(float) * m);
        }
    }
    return OK;
}

int curandCreateGenerator(void **generator, int) { return *generator = &computes, OK; }
int curandDestroyGenerator(void *) { return OK; }
int curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return OK; }
int curandSetStream(void *, void *) { return OK; }
}
