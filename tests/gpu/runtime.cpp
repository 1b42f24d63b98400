// CUDA's runtime, driver and cuBLAS as far as CuPy and segcaffe call them, in the host's memory. `host_runtime.py` puts
// the functions of the runtime in the place of those that CuPy was linked with; the driver's and cuBLAS's are found by
// their names. Work asked of a stream is done at once, or kept while the stream records.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <string>
#include <sys/mman.h>
#include <vector>

typedef std::function<void()> Work;
struct Graph {
    std::vector<Work> work;
};
struct Stream {
    Graph *recording = nullptr;
    bool broken = false;
};
struct Event {
    double time = 0;
    bool recorded = false;
};
struct Blas {
    void *stream = nullptr;
    int math = 0, pointers = 0;
};
typedef int (*Kernel)(unsigned *, void **);
struct Function {
    Kernel run = nullptr;
    unsigned *sizes = nullptr;
};

static const int NO_MEMORY = 2, INVALID_DEVICE = 101, NOT_FOUND = 500, NOT_SUPPORTED = 801, RECORDING = 900, BROKEN = 901;
static const int CAPTURED_EVENT = 907;
static size_t limit_bytes = size_t(4) << 30, used_bytes = 0;
static std::map<char *, size_t> blocks;

// The default streams are the numbers up to 2.
static Stream *recording(void *stream) {
    return (size_t)stream > 2 && ((Stream *)stream)->recording ? (Stream *)stream : nullptr;
}

static void run(void *stream, Work work) {
    if (Stream *s = recording(stream))
        s->recording->work.push_back(work);
    else
        work();
}

static int refuse_while_recording(void *stream) {
    if (Stream *s = recording(stream)) {
        s->broken = true;
        return RECORDING;
    }
    return 0;
}

static bool on_device(const void *p) {
    auto next = blocks.upper_bound((char *)p);
    if (next == blocks.begin()) return false;
    --next;
    return (char *)p < next->first + next->second;
}

static int allocate_host(void **p, size_t size) { return posix_memalign(p, 512, std::max<size_t>(size, 1)) ? NO_MEMORY : 0; }

template <class T>
static int gemm(void *blas, int ta, int tb, int m, int n, int k, const void *alpha, const void *a_, int lda, const void *b_,
                int ldb, const void *beta, void *c_, int ldc) {
    const T *a = (const T *)a_, *b = (const T *)b_, al = *(const T *)alpha, be = *(const T *)beta;
    T *c = (T *)c_;
    if (ldc < m || lda < (ta ? k : m) || ldb < (tb ? n : k)) return 7;
    if (m && n && k && !(on_device(a) && on_device(b) && on_device(c))) return 7;
    run(((Blas *)blas)->stream, [=] {
        for (int j = 0; j < n; ++j)
            for (int i = 0; i < m; ++i) {
                double sum = 0;
                for (int l = 0; l < k; ++l)
                    sum += (double)(ta ? a[(size_t)i * lda + l] : a[(size_t)l * lda + i]) *
                           (tb ? b[(size_t)l * ldb + j] : b[(size_t)j * ldb + l]);
                T *to = c + (size_t)j * ldc + i;
                *to = (T)(al * sum) + (be != 0 ? be * *to : 0);
            }
    });
    return 0;
}

template <class T>
static int gemms(void *blas, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, long long sa,
                 const void *b, int ldb, long long sb, const void *beta, void *c, int ldc, long long sc, int count) {
    for (int i = 0; i < count; ++i)
        if (int error = gemm<T>(blas, ta, tb, m, n, k, alpha, (const T *)a + i * sa, lda, (const T *)b + i * sb, ldb, beta,
                                (T *)c + i * sc, ldc))
            return error;
    return 0;
}

template <class T>
static int gemv(void *blas, int t, int m, int n, const T *alpha, const T *a, int lda, const T *x, int ix, const T *beta,
                T *y, int iy) {
    const T al = *alpha, be = *beta;
    run(((Blas *)blas)->stream, [=] {
        for (int i = 0; i < (t ? n : m); ++i) {
            double sum = 0;
            for (int j = 0; j < (t ? m : n); ++j)
                sum += (double)(t ? a[(size_t)i * lda + j] : a[(size_t)j * lda + i]) * x[j * ix];
            y[i * iy] = (T)(al * sum) + (be != 0 ? be * y[i * iy] : 0);
        }
    });
    return 0;
}

template <class T> static int dot(void *blas, int n, const T *x, int ix, const T *y, int iy, T *out) {
    run(((Blas *)blas)->stream, [=] {
        double sum = 0;
        for (int i = 0; i < n; ++i) sum += (double)x[i * ix] * y[i * iy];
        *out = (T)sum;
    });
    return 0;
}

extern "C" {
// What host_runtime.py calls.
void host_limit(size_t bytes) { limit_bytes = bytes; }
int host_missing(const char *name) {
    fprintf(stderr, "%s: not among the functions of this runtime\n", name);
    return NOT_SUPPORTED;
}
// Write a jump to `target` over the code at `at`; with a name, as its first argument.
void host_replace(void *at, void *target, const char *name) {
    unsigned char code[32];
    int n = 0;
    auto load = [&](unsigned char reg, const void *value) {
        code[n++] = 0x48;
        code[n++] = reg;
        memcpy(code + n, &value, 8);
        n += 8;
    };
    if (name) load(0xbf, name);
    load(0xb8, target);
    code[n++] = 0xff;
    code[n++] = 0xe0;
    mprotect((void *)((size_t)at & ~size_t(4095)), 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy(at, code, n);
}

// The runtime. host_X stands for cudaX.
#define RUNTIME(name) int host_##name
RUNTIME(GetDeviceCount)(int *n) { return *n = 1, 0; }
RUNTIME(GetDevice)(int *n) { return *n = 0; }
RUNTIME(SetDevice)(int n) { return n == 0 ? 0 : INVALID_DEVICE; }
RUNTIME(DriverGetVersion)(int *n) { return *n = 13000, 0; }
RUNTIME(RuntimeGetVersion)(int *n) { return *n = 13000, 0; }
RUNTIME(DeviceGetAttribute)(int *value, int attribute, int) {
    // Threads of a block, shared memory, grid, warp, multiprocessors, compute capability.
    static const std::map<int, int> known = {{1, 1024}, {5, 1 << 30}, {6, 65535}, {7, 65535}, {8, 49152},
                                             {10, 32},  {16, 132},    {75, 9},     {76, 0}};
    auto found = known.find(attribute);
    *value = found == known.end() ? 1 : found->second;
    return 0;
}
RUNTIME(Malloc)(void **p, size_t size) {
    *p = nullptr;
    if (used_bytes + size > limit_bytes || allocate_host(p, size)) return NO_MEMORY;
    memset(*p, 0xff, size);  // NaN in floats
    blocks[(char *)*p] = size;
    used_bytes += size;
    return 0;
}
RUNTIME(Free)(void *p) {
    auto found = blocks.find((char *)p);
    if (found == blocks.end()) return p ? 1 : 0;
    used_bytes -= found->second;
    blocks.erase(found);
    free(p);
    return 0;
}
RUNTIME(HostAlloc)(void **p, size_t size, unsigned) { return allocate_host(p, size); }
RUNTIME(FreeHost)(void *p) { return free(p), 0; }
RUNTIME(MemGetInfo)(size_t *left, size_t *total) { return *left = limit_bytes - used_bytes, *total = limit_bytes, 0; }
RUNTIME(Memcpy)(void *to, const void *from, size_t size, int) { return memmove(to, from, size), 0; }
RUNTIME(MemcpyAsync)(void *to, const void *from, size_t size, int, void *stream) {
    return run(stream, [=] { memmove(to, from, size); }), 0;
}
RUNTIME(Memset)(void *to, int value, size_t size) { return memset(to, value, size), 0; }
RUNTIME(MemsetAsync)(void *to, int value, size_t size, void *stream) {
    return run(stream, [=] { memset(to, value, size); }), 0;
}
RUNTIME(PointerGetAttributes)(void *answer, const void *p) {
    struct Attributes {
        int kind, device;
        const void *on_device, *on_host;
    };
    *(Attributes *)answer = {on_device(p) ? 2 : 0, 0, on_device(p) ? p : nullptr, nullptr};
    return 0;
}
RUNTIME(StreamCreate)(void **s) { return *s = new Stream, 0; }
RUNTIME(StreamCreateWithFlags)(void **s, unsigned) { return *s = new Stream, 0; }
RUNTIME(StreamCreateWithPriority)(void **s, unsigned, int) { return *s = new Stream, 0; }
RUNTIME(StreamDestroy)(void *s) { return delete (Stream *)s, 0; }
RUNTIME(StreamSynchronize)(void *s) { return refuse_while_recording(s); }
RUNTIME(StreamQuery)(void *s) { return refuse_while_recording(s); }
RUNTIME(StreamWaitEvent)(void *, void *event, unsigned) { return ((Event *)event)->recorded ? 0 : 1; }
RUNTIME(StreamIsCapturing)(void *s, int *answer) { return *answer = recording(s) ? 1 : 0, 0; }
RUNTIME(StreamBeginCapture)(void *s, int) {
    if ((size_t)s <= 2) return RECORDING;
    *(Stream *)s = {new Graph, false};
    return 0;
}
RUNTIME(StreamEndCapture)(void *s, void **graph) {
    Stream *stream = (Stream *)s;
    *graph = stream->broken ? nullptr : stream->recording;
    stream->recording = nullptr;
    return stream->broken ? BROKEN : 0;
}
RUNTIME(GraphInstantiate)(void **made, void *graph, unsigned long long) { return *made = new Graph(*(Graph *)graph), 0; }
RUNTIME(GraphUpload)(void *, void *) { return 0; }
RUNTIME(GraphLaunch)(void *graph, void *) {
    for (auto &work : ((Graph *)graph)->work) work();
    return 0;
}
RUNTIME(GraphDestroy)(void *) { return 0; }
RUNTIME(GraphExecDestroy)(void *) { return 0; }
RUNTIME(EventCreate)(void **e) { return *e = new Event, 0; }
RUNTIME(EventCreateWithFlags)(void **e, unsigned) { return *e = new Event, 0; }
RUNTIME(EventDestroy)(void *e) { return delete (Event *)e, 0; }
RUNTIME(EventRecord)(void *e, void *stream) {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    *(Event *)e = {std::chrono::duration<double, std::milli>(now).count(), !recording(stream)};
    return 0;
}
RUNTIME(EventSynchronize)(void *e) { return ((Event *)e)->recorded ? 0 : CAPTURED_EVENT; }
RUNTIME(EventQuery)(void *e) { return ((Event *)e)->recorded ? 0 : CAPTURED_EVENT; }
RUNTIME(EventElapsedTime)(float *ms, void *a, void *b) {
    if (!((Event *)a)->recorded || !((Event *)b)->recorded) return CAPTURED_EVENT;
    return *ms = (float)(((Event *)b)->time - ((Event *)a)->time), 0;
}
RUNTIME(DeviceSynchronize)() { return 0; }
RUNTIME(GetLastError)() { return 0; }
RUNTIME(PeekAtLastError)() { return 0; }
const char *host_GetErrorName(int error) {
    if (error == RECORDING) return "cudaErrorStreamCaptureUnsupported";
    return error == NO_MEMORY ? "cudaErrorMemoryAllocation" : "error";
}
const char *host_GetErrorString(int error) { return error == NO_MEMORY ? "out of memory" : "an error of the host"; }

// The driver. A module is the path of a shared library.
int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int *n) { return *n = 13000, 0; }
int cuGetExportTable(const void **table, const void *) { return *table = nullptr, NOT_FOUND; }
int cuCtxGetCurrent(void **context) { return *context = (void *)16, 0; }
int cuCtxSetCurrent(void *) { return 0; }
int cuGetErrorName(int, const char **text) { return *text = "error", 0; }
int cuGetErrorString(int, const char **text) { return *text = "an error of the host's driver", 0; }
int cuModuleLoadData(void **module, const void *image) {
    return (*module = dlopen((const char *)image, RTLD_NOW)) ? 0 : 200;
}
int cuModuleUnload(void *) { return 0; }
int cuModuleGetGlobal_v2(void **, size_t *, void *, const char *) { return NOT_FOUND; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    Function *made = new Function;
    made->run = (Kernel)dlsym(module, (std::string("host_") + name).c_str());
    made->sizes = (unsigned *)dlsym(module, (std::string("sizes_") + name).c_str());
    return (*function = made), made->run && made->sizes ? 0 : NOT_FOUND;
}
int cuFuncGetAttribute(int *value, int, void *) { return *value = 0; }
int cuFuncSetAttribute(void *, int, int) { return 0; }
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void *stream, void **arguments, void **) {
    if (!gx || !gy || !gz || !bx || bx > 1024 || by != 1 || bz != 1 || gy > 65535 || gz > 65535) return 1;
    Function *f = (Function *)function;
    std::vector<std::vector<char>> kept;
    for (int i = 0; f->sizes[i]; ++i) kept.emplace_back((char *)arguments[i], (char *)arguments[i] + f->sizes[i]);
    run(stream, [=]() mutable {
        std::vector<void *> at;
        for (auto &argument : kept) at.push_back(argument.data());
        unsigned sizes[4] = {gx, gy, gz, bx};
        if (!f->run(sizes, at.data())) {
            fprintf(stderr, "a thread ended while others waited at a barrier\n");
            abort();
        }
    });
    return 0;
}

// cuBLAS.
int cublasCreate_v2(void **blas) { return *blas = new Blas, 0; }
int cublasDestroy_v2(void *blas) { return delete (Blas *)blas, 0; }
int cublasSetStream_v2(void *blas, void *stream) { return ((Blas *)blas)->stream = stream, 0; }
int cublasGetStream_v2(void *blas, void **stream) { return *stream = ((Blas *)blas)->stream, 0; }
int cublasSetWorkspace_v2(void *, void *at, size_t) { return on_device(at) ? 0 : 7; }
int cublasSetPointerMode_v2(void *blas, int mode) { return ((Blas *)blas)->pointers = mode, 0; }
int cublasGetPointerMode_v2(void *blas, int *mode) { return *mode = ((Blas *)blas)->pointers, 0; }
int cublasSetMathMode(void *blas, int mode) { return ((Blas *)blas)->math = mode, mode == 0 || mode == 3 ? 0 : 7; }
int cublasGetMathMode(void *blas, int *mode) { return *mode = ((Blas *)blas)->math, 0; }
#define GEMM_ARGUMENTS void *h, int ta, int tb, int m, int n, int k, const void *al, const void *a
int cublasSgemm_v2(GEMM_ARGUMENTS, int lda, const void *b, int ldb, const void *be, void *c, int ldc) {
    return gemm<float>(h, ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc);
}
int cublasDgemm_v2(GEMM_ARGUMENTS, int lda, const void *b, int ldb, const void *be, void *c, int ldc) {
    return gemm<double>(h, ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc);
}
int cublasSgemmEx(GEMM_ARGUMENTS, int, int lda, const void *b, int, int ldb, const void *be, void *c, int, int ldc) {
    return gemm<float>(h, ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc);
}
int cublasGemmEx(GEMM_ARGUMENTS, int type, int lda, const void *b, int, int ldb, const void *be, void *c, int, int ldc,
                 int, int) {
    return (type == 0 ? gemm<float> : gemm<double>)(h, ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc);
}
int cublasSgemmStridedBatched(GEMM_ARGUMENTS, int lda, long long sa, const void *b, int ldb, long long sb, const void *be,
                              void *c, int ldc, long long sc, int count) {
    return gemms<float>(h, ta, tb, m, n, k, al, a, lda, sa, b, ldb, sb, be, c, ldc, sc, count);
}
int cublasDgemmStridedBatched(GEMM_ARGUMENTS, int lda, long long sa, const void *b, int ldb, long long sb, const void *be,
                              void *c, int ldc, long long sc, int count) {
    return gemms<double>(h, ta, tb, m, n, k, al, a, lda, sa, b, ldb, sb, be, c, ldc, sc, count);
}
int cublasGemmStridedBatchedEx(GEMM_ARGUMENTS, int type, int lda, long long sa, const void *b, int, int ldb, long long sb,
                               const void *be, void *c, int, int ldc, long long sc, int count, int, int) {
    return (type == 0 ? gemms<float> : gemms<double>)(h, ta, tb, m, n, k, al, a, lda, sa, b, ldb, sb, be, c, ldc, sc, count);
}
#define VECTOR(letter, T)                                                                                              \
    int cublas##letter##gemv_v2(void *h, int t, int m, int n, const T *al, const T *a, int lda, const T *x, int ix,    \
                                const T *be, T *y, int iy) {                                                           \
        return gemv<T>(h, t, m, n, al, a, lda, x, ix, be, y, iy);                                                      \
    }                                                                                                                  \
    int cublas##letter##dot_v2(void *h, int n, const T *x, int ix, const T *y, int iy, T *out) {                       \
        return dot<T>(h, n, x, ix, y, iy, out);                                                                        \
    }
VECTOR(S, float)
VECTOR(D, double)
}
