// Windows of stride 1 with as many positions as pixels, worked on in strips: the pixels of a thread lie in one column,
// a dilation apart, so that what one pixel's window reads its neighbour's reads too. Of RUN taps of a window's column,
// PIXELS pixels need PIXELS + RUN - 1 neighbours for PIXELS * RUN products. The lanes of a warp lie side by side, so
// that they read neighbours; the warps of a block work on different taps or channels of the same pixels, so that
// what one reads the next finds in the cache.

#define LANES 32

#ifndef REAL_DOUBLE
// Two blocks on each multiprocessor, so that one computes while the other waits: 128 registers a thread.
#undef LAUNCH_BOUNDS
#define LAUNCH_BOUNDS __launch_bounds__(BLOCK, 2)
#endif

struct Strip {
    int x, y;     // the first pixel; the others are `dilation` rows apart
    int group;    // which taps or channels
    INDEX image;
};

// Strips from top to bottom: of each row modulo the dilation, PIXELS at a time.
template <int PIXELS> __device__ inline int strips_of(int height, int dilation) {
    const int rows = (height + dilation - 1) / dilation;
    return min(dilation, height) * ((rows + PIXELS - 1) / PIXELS);
}

// The strip of thread i; threads whose x is width or more have none.
template <int PIXELS> __device__ inline Strip strip_of(INDEX i, int groups, int height, int width, int dilation) {
    const int tiles = (width + LANES - 1) / LANES, strips = strips_of<PIXELS>(height, dilation);
    const INDEX unit = i / LANES, place = unit / groups;
    const int strip = place / tiles % strips, first_rows = min(dilation, height);
    return {
        (int)(place % tiles * LANES + i % LANES), strip % first_rows + strip / first_rows * PIXELS * dilation,
        (int)(unit % groups), place / tiles / strips,
    };
}

// Bit i is set where row y + i * dilation is in the image.
template <int ROWS> __device__ inline unsigned rows_inside(int y, int dilation, int height) {
    unsigned inside = 0;
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const int row = y + i * dilation;
        inside |= (unsigned)(row >= 0 && row < height) << i;
    }
    return inside;
}

// What a pixel and a neighbour add to a sum over channels.
struct Product {
    static __device__ REAL of(REAL a, REAL b) { return a * b; }
};
struct Square {
    static __device__ REAL of(REAL a, REAL b) { return (a - b) * (a - b); }
};
struct Difference {
    static __device__ REAL of(REAL a, REAL b) { return fabs(a - b); }
};

// Sums over channels for PIXELS pixels and RUN taps of one column of their windows. ``own`` is the first pixel in the
// first channel, ``other`` the neighbour that its first tap reads, ``step`` the elements from row to row. Rows
// outside the image read another in their stead: their sums mean nothing.
template <class Op, int PIXELS, int RUN>
__device__ __forceinline__ void correlate(
    const REAL* own, const REAL* other, INDEX channels, INDEX plane, INDEX step, unsigned own_inside, unsigned inside,
    REAL (&sums)[PIXELS][RUN]
) {
#pragma unroll 1
    for (INDEX c = 0; c < channels; ++c, own += plane, other += plane) {
        REAL a[PIXELS];
#pragma unroll
        for (int j = 0; j < PIXELS; ++j) a[j] = own_inside >> j & 1 ? own[j * step] : 0;
#pragma unroll
        for (int i = 0; i < PIXELS + RUN - 1; ++i) {
            const REAL b = inside >> i & 1 ? other[i * step] : 0;
#pragma unroll
            for (int j = 0; j < PIXELS; ++j) {
                if (i - j >= 0 && i - j < RUN) sums[j][i - j] += Op::of(a[j], b);
            }
        }
    }
}
