// The recursive filter of the domain transform. Each pass goes along lines that do not depend on each other: rows
// (a line per image, channel and row) or columns. Lines are cut to each image's own size.
//
// A pass steps from pixel to pixel; x[at] += w (x[previous] - x[at]), the weight being stored at the right or lower
// pixel of the two. Steps depend on each other, reading does not: it runs ahead by as much as registers hold. Rows pass
// through shared memory in tiles, so that neighbouring threads read neighbours though each line belongs to one thread.
// A pass moves each pixel, weight and difference once: 3 (forward, no differences kept) to 5 numbers a pixel.

#define LINES 32   // rows of a tile; a warp steps along them
#define SPAN 32    // columns of a tile
#define BATCH 8    // columns of a tile that a thread reads before it steps along them
#define AHEAD 16   // pixels of a column that a thread reads before it steps along them

struct Line {
    INDEX pixels, weights;  // where the line begins in the images and in the weights
    int length;             // pixels that are filtered; 0 outside the image's own size
};

// Line i of a pass down the columns or along the rows.
__device__ inline Line line_of(
    INDEX i, int down, INDEX channels, int height, int width, INDEX lines, const long long* sizes
) {
    if (i >= lines) return {0, 0, 0};
    const int across = down ? width : height;
    const int at = i % across;
    const INDEX plane = i / across, n = plane / channels, first = down ? (INDEX)at : (INDEX)at * width;
    const int own_height = sizes[2 * n], own_width = sizes[2 * n + 1];
    const bool inside = at < (down ? own_width : own_height);
    return {
        plane * height * width + first, n * height * width + first, !inside ? 0 : down ? own_height : own_width,
    };
}

// One step of a pass, or of its gradient: `delta` becomes the difference that the weight multiplies, or, from that, the
// weight's gradient. The line's first pixel (its last, backwards) is not linked to another.
template <bool GRAD>
__device__ inline void step(REAL& value, REAL weight, REAL& delta, bool linked, REAL& carry) {
    if (GRAD) {
        value += carry;
        if (!linked) return;
        carry = weight * value;
        delta *= value;
        value -= carry;
    } else {
        delta = carry - value;
        if (linked) value += weight * delta;
        carry = value;
    }
}

// Along the rows: each block has LINES of them. Deltas may be null in a pass, not in its gradient.
template <bool GRAD>
__device__ __forceinline__ void along_rows(
    REAL* values, const REAL* weights, const long long* sizes, REAL* deltas, int back, INDEX channels, int height,
    int width, INDEX lines
) {
    enum { EACH_THREAD = LINES * SPAN / BLOCK, HIGH = BLOCK / SPAN };
    // A column more than needed, so that threads in different rows of one column meet different banks.
    __shared__ REAL value[LINES][SPAN + 1], weight[LINES][SPAN + 1], delta[LINES][SPAN + 1];
    const int column = threadIdx.x % SPAN, row = threadIdx.x / SPAN, tiles = (width + SPAN - 1) / SPAN;
    const bool descending = (back != 0) != GRAD;
    Line line[EACH_THREAD];
#pragma unroll
    for (int i = 0; i < EACH_THREAD; ++i) {
        line[i] = line_of((INDEX)blockIdx.x * LINES + row + i * HIGH, 0, channels, height, width, lines, sizes);
    }
    const int own_length = line_of((INDEX)blockIdx.x * LINES + column, 0, channels, height, width, lines, sizes).length;
    REAL read[3][EACH_THREAD], carry = 0;

    // The weight between two pixels, and their difference, lie at the right one: backwards at the one before.
    const auto load = [&](int x) {
#pragma unroll
        for (int i = 0; i < EACH_THREAD; ++i) {
            const bool inside = x < line[i].length, linked = x + back < line[i].length;
            read[0][i] = inside ? values[line[i].pixels + x] : 0;
            read[1][i] = linked ? weights[line[i].weights + x + back] : 0;
            read[2][i] = GRAD && linked ? deltas[line[i].pixels + x + back] : 0;
        }
    };
    load((descending ? tiles - 1 : 0) * SPAN + column);
    for (int t = 0; t < tiles; ++t) {
        const int first = (descending ? tiles - 1 - t : t) * SPAN;
#pragma unroll
        for (int i = 0; i < EACH_THREAD; ++i) {
            value[row + i * HIGH][column] = read[0][i];
            weight[row + i * HIGH][column] = read[1][i];
            if (GRAD) delta[row + i * HIGH][column] = read[2][i];
        }
        __syncthreads();
        if (t + 1 < tiles) load(first + (descending ? -SPAN : SPAN) + column);
        if (row == 0) {
            for (int k = 0; k < SPAN; k += BATCH) {
                // Read together, since the next read would wait for the last write.
                REAL v[BATCH], w[BATCH], d[BATCH];
#pragma unroll
                for (int j = 0; j < BATCH; ++j) {
                    const int at = descending ? SPAN - 1 - k - j : k + j;
                    v[j] = value[column][at];
                    w[j] = weight[column][at];
                    d[j] = GRAD ? delta[column][at] : 0;
                }
#pragma unroll
                for (int j = 0; j < BATCH; ++j) {
                    const int at = descending ? SPAN - 1 - k - j : k + j, x = first + at;
                    if (x >= own_length) continue;
                    step<GRAD>(v[j], w[j], d[j], back ? x + 1 < own_length : x > 0, carry);
                    value[column][at] = v[j];
                    delta[column][at] = d[j];
                }
            }
        }
        __syncthreads();
        const int x = first + column;
#pragma unroll
        for (int i = 0; i < EACH_THREAD; ++i) {
            if (x >= line[i].length) continue;
            values[line[i].pixels + x] = value[row + i * HIGH][column];
            const bool linked = back ? x + 1 < line[i].length : x > 0;
            if (deltas && linked) deltas[line[i].pixels + x + back] = delta[row + i * HIGH][column];
        }
        __syncthreads();
    }
}

// Down the columns: each thread has one.
template <bool GRAD>
__device__ __forceinline__ void down_columns(
    REAL* values, const REAL* weights, const long long* sizes, REAL* deltas, int back, INDEX channels, int height,
    int width, INDEX lines
) {
    const bool descending = (back != 0) != GRAD;
    EACH(i, lines) {
        const Line line = line_of(i, 1, channels, height, width, lines, sizes);
        REAL carry = 0;
        for (int first = 0; first < line.length; first += AHEAD) {
            REAL value[AHEAD], weight[AHEAD], delta[AHEAD];
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) {
                const int y = descending ? line.length - 1 - first - k : first + k;
                const bool inside = y >= 0 && y < line.length, linked = inside && y + back < line.length;
                value[k] = inside ? values[line.pixels + (INDEX)y * width] : 0;
                weight[k] = linked ? weights[line.weights + (INDEX)(y + back) * width] : 0;
                delta[k] = GRAD && linked ? deltas[line.pixels + (INDEX)(y + back) * width] : 0;
            }
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) {
                const int y = descending ? line.length - 1 - first - k : first + k;
                if (y < 0 || y >= line.length) continue;
                const bool linked = back ? y + 1 < line.length : y > 0;
                step<GRAD>(value[k], weight[k], delta[k], linked, carry);
                values[line.pixels + (INDEX)y * width] = value[k];
                if (deltas && linked) deltas[line.pixels + (INDEX)(y + back) * width] = delta[k];
            }
        }
    }
}

// A pass of one iteration; deltas, if not null, keeps the differences that the weights multiply, at the places of the
// weights.
KERNEL rows(
    REAL* image, const REAL* weights, const long long* sizes, REAL* deltas, int back, INDEX channels, int height,
    int width, INDEX lines
) {
    along_rows<false>(image, weights, sizes, deltas, back, channels, height, width, lines);
}

KERNEL columns(
    REAL* image, const REAL* weights, const long long* sizes, REAL* deltas, int back, INDEX channels, int height,
    int width, INDEX lines
) {
    down_columns<false>(image, weights, sizes, deltas, back, channels, height, width, lines);
}

// Gradient of a pass: from that of its result to that of its input, in place. The weights' gradient, one channel's,
// takes the place of the differences.
KERNEL rows_backward(
    REAL* grad, const REAL* weights, const long long* sizes, REAL* deltas, int back, INDEX channels, int height,
    int width, INDEX lines
) {
    along_rows<true>(grad, weights, sizes, deltas, back, channels, height, width, lines);
}

KERNEL columns_backward(
    REAL* grad, const REAL* weights, const long long* sizes, REAL* deltas, int back, INDEX channels, int height,
    int width, INDEX lines
) {
    down_columns<true>(grad, weights, sizes, deltas, back, channels, height, width, lines);
}

// Sums over channels of one pass's weight gradients (num, channels, height, width), added to weight_grad (num, …).
KERNEL add_channels(const REAL* grads, REAL* weight_grad, INDEX channels, INDEX pixels, INDEX count) {
    EACH(i, count) {
        REAL sum = 0;
        for (INDEX c = 0; c < channels; ++c) sum += grads[(i / pixels * channels + c) * pixels + i % pixels];
        weight_grad[i] += sum;
    }
}
