// What every kernel source begins with. The compiler's options set
//   REAL   the arrays' type, float or double, and REAL_DOUBLE for the latter;
//   INDEX  int, or long long where an array has too many elements for it;
//   BLOCK  threads of a block, a power of two: every kernel is launched with one-dimensional blocks of that many.

// A kernel's name and parameters stand on the lines after this word, up to the first closing bracket: the launcher
// reads the parameters' types there. Scalars are REAL, INDEX, int, unsigned, double; pointers REAL*, int*, double*, ….
#ifndef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK)
#endif

// A loop over 0 … count - 1 that all threads of the grid share.
#define EACH(i, count)                                                                       \
    for (INDEX i = (INDEX)blockIdx.x * BLOCK + threadIdx.x; i < (INDEX)(count); i += (INDEX)gridDim.x * BLOCK)

// A loop over 0 … count - 1 that the threads of one block share.
#define EACH_OF_BLOCK(i, count) for (INDEX i = threadIdx.x; i < (INDEX)(count); i += BLOCK)

#define REAL_MAX ((REAL)3.402823466e+38)

// The sum of every thread's value, in an order that depends on nothing; all threads of the block must call it.
template <class A> __device__ A block_sum(A value) {
    __shared__ A parts[BLOCK];
    __syncthreads();
    parts[threadIdx.x] = value;
    __syncthreads();
    for (int width = BLOCK / 2; width > 0; width /= 2) {
        if ((int)threadIdx.x < width) parts[threadIdx.x] += parts[threadIdx.x + width];
        __syncthreads();
    }
    return parts[0];
}

// The largest of every thread's value; NaN if one is NaN.
template <class A> __device__ A block_max(A value) {
    __shared__ A parts[BLOCK];
    __syncthreads();
    parts[threadIdx.x] = value;
    __syncthreads();
    for (int width = BLOCK / 2; width > 0; width /= 2) {
        if ((int)threadIdx.x < width) {
            A other = parts[threadIdx.x + width];
            if (!(other <= parts[threadIdx.x])) parts[threadIdx.x] = other;
        }
        __syncthreads();
    }
    return parts[0];
}

// Quotient rounded down, for divisors above 0.
__device__ inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// The class number of a label: -1 where it is ignored, -2 where it is no class.
__device__ inline int class_of(REAL label, int classes, long long ignore) {
    if (!(label > (REAL)-2147483648.0 && label < (REAL)2147483648.0)) return -2;
    int number = (int)label;
    if (number == ignore) return -1;
    return number >= 0 && number < classes ? number : -2;
}
