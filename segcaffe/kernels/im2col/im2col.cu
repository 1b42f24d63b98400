// Columns (num, channels * taps, width) of images (num, channels, pixels): rows c * taps + t over positions p0 ... p0 +
// width, so that a caller may make as many at a time as its memory (or the cache) holds. A mask (num, taps, positions)
// multiplies each tap; a null one multiplies by 1. Threads go along positions, so that warps read and write neighbours.

#define GATHERED 16  // channels of a thread

KERNEL gather(
    const REAL* x, const REAL* mask, REAL* columns, INDEX num, INDEX channels, INDEX positions, INDEX p0, INDEX width,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    const int taps = kernel0 * kernel1 * kernel2;
    const INDEX pixels = (INDEX)size0 * size1 * size2;
    // One thread finds a tap's pixel once for several channels.
    const INDEX each = GATHERED, groups = (channels + each - 1) / each;
    EACH(i, num * groups * taps * width) {
        const INDEX p = p0 + i % width, n = i / width / taps / groups;
        const int tap = i / width % taps;
        const INDEX first = i / width / taps % groups * each, last = min(channels, first + each);
        const INDEX pixel = pixel_of(w, p, tap);
        const REAL factor = mask ? mask[(n * taps + tap) * positions + p] : 1;
        for (INDEX c = n * channels + first; c < n * channels + last; ++c) {
            columns[(c * taps + tap) * width + i % width] = pixel >= 0 ? x[c * pixels + pixel] * factor : 0;
        }
    }
}

// The adjoint, over whole images: each pixel gathers from the columns it went to.
KERNEL fold(
    const REAL* columns, const REAL* mask, REAL* x, INDEX num, INDEX channels,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    const INDEX taps = kernel0 * kernel1 * kernel2, positions = (INDEX)out0 * out1 * out2;
    EACH(i, num * channels * size0 * size1 * size2) {
        const int px = i % size2, py = i / size2 % size1, pz = i / size2 / size1 % size0;
        const INDEX c = i / size2 / size1 / size0, n = c / channels;  // c counts the channels of all images
        REAL sum = 0;
        for (int tap = 0; tap < taps; ++tap) {
            const int oz = position_of(w, 0, pz, tap / kernel2 / kernel1);
            const int oy = position_of(w, 1, py, tap / kernel2 % kernel1);
            const int ox = position_of(w, 2, px, tap % kernel2);
            if (oz < 0 || oy < 0 || ox < 0) continue;
            const INDEX p = ((INDEX)oz * out1 + oy) * out2 + ox;
            const REAL value = columns[(c * taps + tap) * positions + p];
            sum += mask ? value * mask[(n * taps + tap) * positions + p] : value;
        }
        x[i] = sum;
    }
}

// Gradient of the mask: sums over channels of columns' gradients times pixels; added to what is there if told so. A
// warp has neighbouring positions, the warps of a block have each a part of their channels.
#define LANES 32

KERNEL mask_grad(
    const REAL* columns, const REAL* x, REAL* grad, INDEX num, INDEX channels, int accumulate,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    enum { PARTS = BLOCK / LANES };
    __shared__ REAL sums[PARTS][LANES];
    const Window w = WINDOW;
    const INDEX taps = kernel0 * kernel1 * kernel2, positions = (INDEX)out0 * out1 * out2;
    const INDEX pixels = (INDEX)size0 * size1 * size2;
    const int lane = threadIdx.x % LANES, part = threadIdx.x / LANES;
    const INDEX i = (INDEX)blockIdx.x * LANES + lane;
    const bool valid = i < num * taps * positions;
    const INDEX column = i % (taps * positions), n = i / positions / taps;
    const INDEX pixel = valid ? pixel_of(w, column % positions, column / positions) : -1;
    const INDEX first = n * channels + part * channels / PARTS, last = n * channels + (part + 1) * channels / PARTS;
    REAL sum = 0;
    for (INDEX c = first; c < last && pixel >= 0; ++c) {
        sum += columns[c * taps * positions + column] * x[c * pixels + pixel];
    }
    sums[part][lane] = sum;
    __syncthreads();
    if (part > 0 || !valid) return;
    for (int k = 1; k < PARTS; ++k) sum += sums[k][lane];
    grad[i] = accumulate ? grad[i] + sum : sum;
}
