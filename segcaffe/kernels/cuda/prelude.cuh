// What every kernel source begins with. The compiler's options set
//   REAL   the arrays' type, float or double, and REAL_DOUBLE for the latter;
//   INDEX  int, or long long where an array has too many elements for it;
//   BLOCK  threads of a block, a power of two: every kernel is launched with one-dimensional blocks of that many.

// A kernel's name and parameters stand on the lines after this word, up to the first closing bracket: the launcher
// reads the parameters' types there. Scalars are REAL, INDEX, int, unsigned, double; pointers REAL*, int*, double*, ….
#ifndef KERNEL
#define KERNEL extern "C" __global__ void LAUNCH_BOUNDS
#endif
#define LAUNCH_BOUNDS __launch_bounds__(BLOCK)  // a source may redefine it for the functions that follow

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

// A window over up to three spatial axes; those that an image does not have are of extent 1.
struct Window {
    int size[3], out[3], kernel[3], stride[3], pad[3], dilation[3];
};

// The pixel that a tap of the window at a position reads, as an index into a channel; -1 outside the image.
__device__ inline INDEX pixel_of(const Window& w, INDEX position, int tap) {
    const int ox = position % w.out[2], oy = position / w.out[2] % w.out[1], oz = position / w.out[2] / w.out[1];
    const int j = tap % w.kernel[2], i = tap / w.kernel[2] % w.kernel[1], k = tap / w.kernel[2] / w.kernel[1];
    const int x = ox * w.stride[2] - w.pad[2] + j * w.dilation[2];
    const int y = oy * w.stride[1] - w.pad[1] + i * w.dilation[1];
    const int z = oz * w.stride[0] - w.pad[0] + k * w.dilation[0];
    const bool inside = x >= 0 && x < w.size[2] && y >= 0 && y < w.size[1] && z >= 0 && z < w.size[0];
    return inside ? ((INDEX)z * w.size[1] + y) * w.size[2] + x : -1;
}

// The position along one axis whose tap reads pixel x; -1 if there is none.
__device__ inline int position_of(const Window& w, int axis, int x, int tap) {
    const int start = x + w.pad[axis] - tap * w.dilation[axis];
    const int o = start / w.stride[axis];
    return start >= 0 && o * w.stride[axis] == start && o < w.out[axis] ? o : -1;
}

#define WINDOW                                                                                            \
    {{size0, size1, size2}, {out0, out1, out2}, {kernel0, kernel1, kernel2}, {stride0, stride1, stride2}, \
     {pad0, pad1, pad2}, {dilation0, dilation1, dilation2}}
