// Windows over up to three spatial axes; those that an image does not have are of extent 1.
//
// Columns are rows c * taps + t over positions, cut to channels c0 ... c0 + channels and positions p0 ... p0 + width of
// one image, so that a caller may make as many at a time as its memory (or the cache) holds. A mask (taps, positions)
// multiplies each tap; a null one multiplies by 1.

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

KERNEL gather(
    const REAL* x, const REAL* mask, REAL* columns, INDEX channels, INDEX positions, INDEX p0, INDEX width,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    const int taps = kernel0 * kernel1 * kernel2;
    const INDEX pixels = (INDEX)size0 * size1 * size2;
    // One thread finds a tap's pixel once for several channels.
    const INDEX each = 4, groups = (channels + each - 1) / each;
    EACH(i, groups * taps * width) {
        const INDEX p = p0 + i % width;
        const int tap = i / width % taps;
        const INDEX first = i / width / taps * each, last = min(channels, first + each);
        const INDEX pixel = pixel_of(w, p, tap);
        const REAL factor = mask ? mask[tap * positions + p] : 1;
        for (INDEX c = first; c < last; ++c) {
            columns[(c * taps + tap) * width + i % width] = pixel >= 0 ? x[c * pixels + pixel] * factor : 0;
        }
    }
}

// The adjoint, over whole images: each pixel gathers from the columns it went to.
KERNEL fold(
    const REAL* columns, const REAL* mask, REAL* x, INDEX channels,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    const INDEX taps = kernel0 * kernel1 * kernel2, positions = (INDEX)out0 * out1 * out2;
    EACH(i, channels * size0 * size1 * size2) {
        const int px = i % size2, py = i / size2 % size1, pz = i / size2 / size1 % size0;
        const INDEX c = i / size2 / size1 / size0;
        REAL sum = 0;
        for (int tap = 0; tap < taps; ++tap) {
            const int oz = position_of(w, 0, pz, tap / kernel2 / kernel1);
            const int oy = position_of(w, 1, py, tap / kernel2 % kernel1);
            const int ox = position_of(w, 2, px, tap % kernel2);
            if (oz < 0 || oy < 0 || ox < 0) continue;
            const INDEX p = ((INDEX)oz * out1 + oy) * out2 + ox;
            const REAL value = columns[(c * taps + tap) * positions + p];
            sum += mask ? value * mask[tap * positions + p] : value;
        }
        x[i] = sum;
    }
}

// Gradient of the mask: sums over channels of columns' gradients times pixels; added to what is there if told so.
KERNEL mask_grad(
    const REAL* columns, const REAL* x, REAL* grad, INDEX channels, int accumulate,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    const INDEX taps = kernel0 * kernel1 * kernel2, positions = (INDEX)out0 * out1 * out2;
    const INDEX pixels = (INDEX)size0 * size1 * size2;
    EACH(i, taps * positions) {
        const INDEX pixel = pixel_of(w, i % positions, i / positions);
        REAL sum = 0;
        for (INDEX c = 0; c < channels && pixel >= 0; ++c) sum += columns[c * taps * positions + i] * x[c * pixels + pixel];
        grad[i] = accumulate ? grad[i] + sum : sum;
    }
}
