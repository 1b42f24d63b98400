// What a CUDA source needs to be compiled as C++: the index variables, barriers, and a grid run one block at a time.
//
// The threads of a block are coroutines: each runs until the next barrier, in ascending or in descending order. A
// result that depends on the order shows a missing barrier; a thread that ends while others wait shows a barrier that
// not all threads reach.
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <setjmp.h>
#include <ucontext.h>
#include <vector>

// Not extern "C", as the compilers for devices need it: a kernel may be called what a function of the C library is.
#define KERNEL static void
#define __device__
#define __shared__ static
#define __constant__ static
#define __restrict__
#define __forceinline__ inline
#define __launch_bounds__(threads)

using std::abs;
using std::ceil;
using std::exp;
using std::expm1;
using std::fabs;
using std::floor;
using std::fmax;
using std::fmin;
using std::log;
using std::log1p;
using std::max;
using std::min;
using std::pow;
using std::rint;
using std::sqrt;
using std::tanh;

// One thread runs at a time, so that any operation is atomic.
template <class A> static A atomicAdd(A *to, A value) {
    A old = *to;
    *to += value;
    return old;
}
template <class A> static A atomicMax(A *to, A value) {
    A old = *to;
    if (value > old) *to = value;
    return old;
}

static inline float __fmul_rn(float a, float b) { return a * b; }

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

static const size_t STACK = 64 * 1024;
static ucontext_t scheduler;
static std::vector<ucontext_t> threads;
// Once a thread has begun, jumps switch to it and back: without the system call that changes of context make.
struct Place {
    jmp_buf at;
    bool begun;
};
static std::vector<Place> places;
static jmp_buf scheduler_at;
static std::vector<char> stacks;
static std::vector<char> ended;
static std::function<void()> *body;
static unsigned current;

static inline void __syncthreads() {
    if (_setjmp(places[current].at) == 0) _longjmp(scheduler_at, 1);
}

static void run_thread() {
    (*body)();
    ended[current] = 1;
    _longjmp(scheduler_at, 1);
}

static void resume(unsigned thread) {
    current = thread;
    threadIdx = {thread, 0, 0};
    if (_setjmp(scheduler_at) != 0) return;
    if (places[thread].begun) _longjmp(places[thread].at, 1);
    places[thread].begun = true;
    setcontext(&threads[thread]);
}

// Run a block whose threads meet at barriers; false if a thread ended while others wait.
static bool run_with_barriers(unsigned count, bool descending) {
    threads.resize(count);
    stacks.resize(count * STACK);
    ended.assign(count, 0);
    places.resize(count);
    for (unsigned t = 0; t < count; ++t) {
        getcontext(&threads[t]);
        threads[t].uc_stack.ss_sp = &stacks[t * STACK];
        threads[t].uc_stack.ss_size = STACK;
        threads[t].uc_link = &scheduler;
        makecontext(&threads[t], run_thread, 0);
        places[t].begun = false;
    }
    while (true) {
        for (unsigned t = 0; t < count; ++t) resume(descending ? count - 1 - t : t);
        unsigned done = 0;
        for (char e : ended) done += e;
        if (done == count) return true;
        if (done > 0) return false;
    }
}

static bool run_grid(Index grid, unsigned block, bool barriers, bool descending, std::function<void()> function) {
    body = &function;
    gridDim = grid;
    blockDim = {block, 1, 1};
    const unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < blocks; ++i) {
        const unsigned b = descending ? blocks - 1 - i : i;
        blockIdx = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
        if (barriers) {
            if (!run_with_barriers(block, descending)) return false;
            continue;
        }
        for (unsigned t = 0; t < block; ++t) {
            threadIdx = {descending ? block - 1 - t : t, 0, 0};
            function();
        }
    }
    return true;
}
