// Masked convolution as a product of matrices whose columns are made in shared memory, a slice at a time.
//
// Forward, output [m, p] is the sum over taps t and channels c of weight[m, c, t] * mask[t, p] * x[c, pixel(p, t)]; the
// gradient of x is the same sum with pixels as targets, positions as sources and the weights transposed. A block
// makes a tile of HEIGHT rows (outputs, or channels of the gradient) by 128 targets of all images together; a thread
// keeps (HEIGHT / 16) x 8 sums in registers. The sum goes tap by tap, each in slices of DEPTH inputs: within a tap a
// thread that loads keeps its target, so that the place in the image and the mask are found once per tap. While one
// slice is multiplied, the next is on its way from memory to registers; it goes to the other half of the shared memory
// afterwards, one barrier a slice.
//
// Per slice a block loads DEPTH * (HEIGHT + 128) numbers and makes DEPTH * HEIGHT * 128 multiply-adds: 64 for each
// number with HEIGHT 128, 43 with 64. Columns never reach memory.
//
// Blocks of one tile (gridDim.z) divide the sum where there are too few tiles for a device; each writes a whole
// result, and `add_parts` adds them in order. Weights come packed: (group, tap, inputs, rows), padded with zeros to
// whole slices and tiles, so that reading them needs no checks.

#define WIDTH 128  // targets of a tile
#ifndef REAL_DOUBLE
// Two blocks on each multiprocessor, so that one multiplies while the other waits: 128 registers a thread.
#undef LAUNCH_BOUNDS
#define LAUNCH_BOUNDS __launch_bounds__(BLOCK, 2)
#endif

#define SIDE 16    // threads of a block along each side of a tile: SIDE * SIDE is BLOCK

#define OUTSIDE (-(1 << 29))  // coordinates below are no target's

// Four neighbours: read from shared memory at once.
struct alignas(16) Quad {
    REAL v[4];
};

// A thread's place in its block's square. A warp has 4 by 8 threads, so that all its lanes' quads of one factor are at
// most 128 bytes: what shared memory gives at once.
__device__ inline int down_of_thread() { return threadIdx.x / 64 * 4 + threadIdx.x % 32 / 8; }
__device__ inline int across_of_thread() { return threadIdx.x / 32 % 2 * 8 + threadIdx.x % 8; }

// Rows (or columns) of a tile that a thread has: quads of neighbours, SIDE quads apart.
__device__ inline int place(int i, int side) { return i / 4 * 4 * SIDE + side * 4 + i % 4; }

// Adds a slice's products to a thread's sums. LEFT, RIGHT: quads of a row of each factor in shared memory.
template <int DEPTH, int LEFT, int RIGHT, int ROWS, int COLUMNS>
__device__ __forceinline__ void multiply(
    const Quad (&left)[DEPTH][LEFT], const Quad (&right)[DEPTH][RIGHT], REAL (&sums)[ROWS][COLUMNS]
) {
    const int across = across_of_thread(), down = down_of_thread();
// No further: what is read ahead takes registers.
#pragma unroll 2
    for (int k = 0; k < DEPTH; ++k) {
        Quad a[ROWS / 4], b[COLUMNS / 4];
#pragma unroll
        for (int i = 0; i < ROWS / 4; ++i) a[i] = left[k][i * SIDE + down];
#pragma unroll
        for (int j = 0; j < COLUMNS / 4; ++j) b[j] = right[k][j * SIDE + across];
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) sums[i][j] += a[i / 4].v[i % 4] * b[j / 4].v[j % 4];
        }
    }
}

__device__ inline INDEX elements(const int (&size)[3]) { return (INDEX)size[0] * size[1] * size[2]; }
__device__ inline int taps(const Window& w) { return w.kernel[0] * w.kernel[1] * w.kernel[2]; }

// A target that a thread loads columns for: a position of the window, or a pixel if BACK.
template <bool BACK> struct Target {
    INDEX n, index;
    int at[3];  // the pixel under the window's first tap, or the pixel itself plus the padding

    __device__ Target(const Window& w, INDEX number, INDEX count) {
        const int (&size)[3] = BACK ? w.size : w.out;
        const INDEX each = elements(size);
        const bool valid = number < count;
        n = valid ? number / each : 0;
        index = valid ? number % each : 0;
        const INDEX row = index / size[2];
        const int place[3] = {(int)(row / size[1]), (int)(row % size[1]), (int)(index % size[2])};
#pragma unroll
        for (int i = 0; i < 3; ++i) at[i] = BACK ? place[i] + w.pad[i] : place[i] * w.stride[i] - w.pad[i];
        if (!valid) at[0] = OUTSIDE - 1;
    }

    __device__ bool valid() const { return at[0] >= OUTSIDE; }

    // The source that a tap connects with this target, as an index into a channel; -1 if there is none.
    __device__ INDEX source(const Window& w, int tap) const {
        const int steps[3] = {tap / w.kernel[2] / w.kernel[1], tap / w.kernel[2] % w.kernel[1], tap % w.kernel[2]};
        const int* size = BACK ? w.out : w.size;
        INDEX index = 0;
        bool inside = true;
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            int x = at[i] + (BACK ? -1 : 1) * steps[i] * w.dilation[i];
            if (BACK && w.stride[i] > 1) {
                const int o = x / w.stride[i];
                inside = inside && o * w.stride[i] == x;
                x = x < 0 ? x : o;
            }
            inside = inside && x >= 0 && x < size[i];
            index = index * size[i] + x;
        }
        return inside ? index : -1;
    }

    // The factor of that tap; the mask (num, taps, positions) lies at positions.
    __device__ REAL factor(const REAL* mask, const Window& w, int tap, INDEX source) const {
        if (source < 0) return 0;
        return mask ? mask[(n * taps(w) + tap) * elements(w.out) + (BACK ? source : index)] : 1;
    }
};

// What a block reads ahead of a product: a slice of packed weights and of columns.
template <int HEIGHT, int DEPTH, bool BACK> struct Reader {
    enum { LOADS = DEPTH * WIDTH / BLOCK, QUADS = DEPTH * HEIGHT / 4 };

    const Window& w;
    const REAL *mask, *image;
    const Quad* packed;
    const INDEX inputs, from;  // channels of a group, elements of a source's channel
    const int padded;          // quads of a row of packed weights
    const Target<BACK> target;
    int tap;
    INDEX input, at;
    REAL factor, loaded[LOADS];
    Quad weights;

    static __device__ int column() { return threadIdx.x % WIDTH; }
    static __device__ int first() { return threadIdx.x / WIDTH; }

    // From slice ``begin`` of group g and rows row0 ... on.
    __device__ Reader(
        const Window& window, const REAL* source, const REAL* masks, const REAL* weight, int num, INDEX channels,
        int group, INDEX g, INDEX row0, INDEX padded_outputs, INDEX begin
    )
        : w(window), mask(masks), inputs(channels), from(elements(BACK ? window.out : window.size)),
          padded(padded_outputs / 4),
          target(window, (INDEX)blockIdx.x * WIDTH + column(), num * elements(BACK ? window.size : window.out)) {
        const INDEX per_tap = (inputs + DEPTH - 1) / DEPTH;
        image = source + ((target.n * group + g) * inputs + first()) * from;
        // Slices follow each other from tap to tap.
        const INDEX row = (g * per_tap * taps(w) + begin) * DEPTH + threadIdx.x / (HEIGHT / 4);
        packed = (const Quad*)(weight + row * padded_outputs + row0) + threadIdx.x % (HEIGHT / 4);
        input = begin % per_tap * DEPTH;
        locate(begin / per_tap);
        load();
    }

    __device__ void locate(int new_tap) {
        tap = new_tap;
        at = target.source(w, tap);
        factor = target.factor(mask, w, tap, at);
    }

    __device__ __forceinline__ void load() {
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
            const INDEX c = input + i * (BLOCK / WIDTH);
            loaded[i] = at >= 0 && c + first() < inputs ? image[c * from + at] : 0;
        }
        if (QUADS == BLOCK || threadIdx.x < QUADS) weights = *packed;
        packed += DEPTH * padded;
    }

    // The next slice; true if it is another tap's.
    __device__ __forceinline__ bool advance() {
        input += DEPTH;
        const bool end = input >= inputs;
        if (end) {
            input = 0;
            locate(tap + 1);
        }
        load();
        return end;
    }

    __device__ __forceinline__ void store(
        Quad (&left)[DEPTH][HEIGHT / 4], Quad (&right)[DEPTH][WIDTH / 4], REAL by
    ) const {
        enum { WIDE = HEIGHT / 4 };
        REAL* columns = (REAL*)right;
#pragma unroll
        for (int i = 0; i < LOADS; ++i) columns[(first() + i * (BLOCK / WIDTH)) * WIDTH + column()] = loaded[i] * by;
        if (QUADS == BLOCK || threadIdx.x < QUADS) left[threadIdx.x / WIDE][threadIdx.x % WIDE] = weights;
    }
};

// Writes a tile of sums: rows row0 ... of out (..., outputs, elements of a target), through shared memory, so that
// neighbouring threads write neighbours.
template <bool BACK, int ROWS, int COLUMNS>
__device__ __forceinline__ void write_tile(
    const REAL (&sums)[ROWS][COLUMNS], REAL* stage, const Window& w, const REAL* bias, REAL* out, int num,
    INDEX outputs, int group, INDEX g, INDEX row0
) {
    const int column = threadIdx.x % WIDTH, across = across_of_thread(), down = down_of_thread();
    const INDEX to = elements(BACK ? w.size : w.out);
    const Target<BACK> target(w, (INDEX)blockIdx.x * WIDTH + column, num * to);
    REAL* made = out + ((blockIdx.z * (INDEX)num + target.n) * group + g) * outputs * to + target.index;
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        __syncthreads();
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) stage[down * WIDTH + place(j, across)] = sums[i][j];
        __syncthreads();
        for (int row = threadIdx.x / WIDTH; row < SIDE; row += BLOCK / WIDTH) {
            const INDEX m = row0 + place(i, row);
            const REAL more = bias && m < outputs ? bias[g * outputs + m] : 0;
            if (target.valid() && m < outputs) made[m * to] = stage[row * WIDTH + column] + more;
        }
    }
}

// The sum of source times mask times weight, for all targets: see above.
template <int HEIGHT, int DEPTH, bool BACK>
__device__ __forceinline__ void product(
    const REAL* source, const REAL* mask, const REAL* packed, const REAL* bias, REAL* out, int num, INDEX inputs,
    INDEX outputs, int group, INDEX padded_outputs, const Window& w
) {
    static_assert(DEPTH * HEIGHT <= 4 * BLOCK && 2 * DEPTH >= SIDE && BLOCK == SIDE * SIDE, "a tile's loads and stage");
    __shared__ Quad left[2][DEPTH][HEIGHT / 4], right[2][DEPTH][WIDTH / 4];
    const INDEX tall = padded_outputs / HEIGHT, g = blockIdx.y / tall, row0 = blockIdx.y % tall * HEIGHT;
    const INDEX slices = (inputs + DEPTH - 1) / DEPTH * taps(w);
    const INDEX begin = blockIdx.z * slices / gridDim.z, end = (blockIdx.z + 1) * slices / gridDim.z;
    Reader<HEIGHT, DEPTH, BACK> reader(w, source, mask, packed, num, inputs, group, g, row0, padded_outputs, begin);
    REAL sums[HEIGHT / SIDE][WIDTH / SIDE] = {};
    reader.store(left[0], right[0], reader.factor);
    __syncthreads();
    for (INDEX slice = begin; slice < end; ++slice) {
        const int half = (slice - begin) % 2;
        if (slice + 1 < end) reader.advance();
        multiply(left[half], right[half], sums);
        if (slice + 1 < end) reader.store(left[1 - half], right[1 - half], reader.factor);
        __syncthreads();
    }
    write_tile<BACK>(sums, (REAL*)right, w, bias, out, num, outputs, group, g, row0);
}

KERNEL forward_128(
    const REAL* x, const REAL* mask, const REAL* packed, const REAL* bias, REAL* out, int num, INDEX inputs,
    INDEX outputs, int group, INDEX padded_outputs,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    product<128, 8, false>(x, mask, packed, bias, out, num, inputs, outputs, group, padded_outputs, w);
}

KERNEL forward_64(
    const REAL* x, const REAL* mask, const REAL* packed, const REAL* bias, REAL* out, int num, INDEX inputs,
    INDEX outputs, int group, INDEX padded_outputs,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    product<64, 16, false>(x, mask, packed, bias, out, num, inputs, outputs, group, padded_outputs, w);
}

// Gradient of x alone.
KERNEL backward_128(
    const REAL* grad_out, const REAL* mask, const REAL* packed, REAL* grad_x, int num, INDEX inputs, INDEX outputs,
    int group, INDEX padded_outputs,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    product<128, 8, true>(grad_out, mask, packed, 0, grad_x, num, inputs, outputs, group, padded_outputs, w);
}

KERNEL backward_64(
    const REAL* grad_out, const REAL* mask, const REAL* packed, REAL* grad_x, int num, INDEX inputs, INDEX outputs,
    int group, INDEX padded_outputs,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    product<64, 16, true>(grad_out, mask, packed, 0, grad_x, num, inputs, outputs, group, padded_outputs, w);
}

#ifdef REAL_DOUBLE
#define SHORT 8
#else
#define SHORT 16
#endif

// Gradients of x and of the masks from one product: at the end of each tap its sums over the outputs, times the mask,
// go to the gradient of x; times x and added over the tile's channels they are this tile's part of the mask's gradient.
// Parts of masks are (tiles of channels, num, taps, positions), zero where no pixel is read; blocks of one tile
// (gridDim.z) divide the taps. Beside a slice's products there are two multiply-adds for each sum and tap.
KERNEL backward_both(
    const REAL* x, const REAL* mask, const REAL* packed, const REAL* grad_out, REAL* grad_x, REAL* mask_parts, int num,
    INDEX inputs, INDEX outputs, int group, INDEX padded_outputs,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    enum { HEIGHT = 64, DEPTH = SHORT, ROWS = HEIGHT / SIDE, COLUMNS = WIDTH / SIDE };
    const Window w = WINDOW;
    __shared__ Quad left[2][DEPTH][HEIGHT / 4], right[2][DEPTH][WIDTH / 4];
    __shared__ REAL dots[SIDE][WIDTH], factors[2][WIDTH];
    __shared__ INDEX places[2][WIDTH], offsets[WIDTH];
    const INDEX tall = padded_outputs / HEIGHT, g = blockIdx.y / tall, row0 = blockIdx.y % tall * HEIGHT;
    const INDEX pixels = elements(w.size), positions = elements(w.out);
    const INDEX per_tap = (inputs + DEPTH - 1) / DEPTH;
    const INDEX begin = (int)blockIdx.z * taps(w) / (int)gridDim.z * per_tap;
    const INDEX end = ((int)blockIdx.z + 1) * taps(w) / (int)gridDim.z * per_tap;
    Reader<HEIGHT, DEPTH, true> reader(w, grad_out, mask, packed, num, inputs, group, g, row0, padded_outputs, begin);
    const int across = across_of_thread(), down = down_of_thread();
    const auto keep_tap = [&] {
        if (threadIdx.x >= WIDTH) return;
        factors[reader.tap % 2][threadIdx.x] = reader.factor;
        const INDEX row = reader.target.n * taps(w) + reader.tap;
        places[reader.tap % 2][threadIdx.x] = reader.at < 0 ? -1 : row * positions + reader.at;
    };
    if (threadIdx.x < WIDTH) {
        const INDEX first = (reader.target.n * group + g) * outputs * pixels + reader.target.index;
        offsets[threadIdx.x] = reader.target.valid() ? first : -1;
    }
    REAL sums[ROWS][COLUMNS] = {}, total[ROWS][COLUMNS] = {};
    keep_tap();
    reader.store(left[0], right[0], 1);
    __syncthreads();
    for (INDEX slice = begin; slice < end; ++slice) {
        const int half = (slice - begin) % 2, tap = slice / per_tap;
        const bool more = slice + 1 < end, last = more ? reader.advance() : true;
        multiply(left[half], right[half], sums);
        if (last) {
            REAL parts[COLUMNS] = {};
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                const INDEX c = row0 + place(i, down);
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j) {
                    const INDEX offset = offsets[place(j, across)];
                    total[i][j] += sums[i][j] * factors[tap % 2][place(j, across)];
                    if (offset >= 0 && c < outputs) parts[j] += sums[i][j] * x[offset + c * pixels];
                    sums[i][j] = 0;
                }
            }
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) dots[down][place(j, across)] = parts[j];
            __syncthreads();
            if (threadIdx.x < WIDTH && places[tap % 2][threadIdx.x] >= 0) {
                REAL dot = 0;
#pragma unroll
                for (int i = 0; i < SIDE; ++i) dot += dots[i][threadIdx.x];
                mask_parts[(INDEX)blockIdx.y * num * taps(w) * positions + places[tap % 2][threadIdx.x]] = dot;
            }
            if (more) keep_tap();
        }
        if (more) reader.store(left[1 - half], right[1 - half], 1);
        __syncthreads();
    }
    if (grad_x) write_tile<true>(total, (REAL*)right, w, 0, grad_x, num, outputs, group, g, row0);
}

// A position of the window in a batch, stepped through without divisions.
struct Position {
    INDEX n, index;
    int at[3];

    __device__ Position(const Window& w, INDEX number) {
        const INDEX positions = elements(w.out);
        n = number / positions;
        index = number % positions;
        at[0] = index / w.out[2] / w.out[1];
        at[1] = index / w.out[2] % w.out[1];
        at[2] = index % w.out[2];
    }

    __device__ void step(const Window& w, int by) {
        index += by;
        at[2] += by;
        while (at[2] >= w.out[2]) {
            at[2] -= w.out[2];
            if (++at[1] < w.out[1]) continue;
            at[1] = 0;
            if (++at[0] < w.out[0]) continue;
            at[0] = 0;
            ++n;
            index -= elements(w.out);
        }
    }

    __device__ INDEX pixel(const Window& w, const int (&steps)[3]) const {
        INDEX pixel = 0;
        bool inside = true;
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const int x = at[i] * w.stride[i] - w.pad[i] + steps[i] * w.dilation[i];
            inside = inside && x >= 0 && x < w.size[i];
            pixel = pixel * w.size[i] + x;
        }
        return inside ? pixel : -1;
    }
};

// Gradient of the weights: [m, t, c] is the sum over images and positions of grad_out[m, p] * mask[t, p] *
// x[c, pixel(p, t)]. A tile has HEIGHT outputs by two strips of 64 channels, each strip under one tap; slices are DEPTH
// positions, and gridDim.z blocks divide them. Results are parts (gridDim.z, outputs, taps, channels).
template <int HEIGHT, int DEPTH>
__device__ __forceinline__ void weight_product(
    const REAL* x, const REAL* mask, const REAL* grad_out, REAL* parts, int num, INDEX channels, INDEX outputs,
    int group, const Window& w
) {
    enum { STEP = BLOCK / DEPTH, UP = HEIGHT / STEP, STRIP = WIDTH / 2, ACROSS = STRIP / STEP };
    // A quad more a row: threads that store a column of different rows meet fewer at one bank.
    __shared__ Quad left[2][DEPTH][HEIGHT / 4 + 1], right[2][DEPTH][WIDTH / 4 + 1];
    const INDEX pixels = elements(w.size), positions = elements(w.out), count = num * positions;
    const INDEX tall = gridDim.y / group, g = blockIdx.y / tall, row0 = blockIdx.y % tall * HEIGHT;
    const INDEX strips = (channels + STRIP - 1) / STRIP, slices = (count + DEPTH - 1) / DEPTH;
    const INDEX begin = blockIdx.z * slices / gridDim.z, end = (blockIdx.z + 1) * slices / gridDim.z;
    const int k = threadIdx.x % DEPTH, row = threadIdx.x / DEPTH;
    int tap[2], steps[2][3];
    INDEX channel[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        tap[h] = (blockIdx.x * 2 + h) / strips;
        channel[h] = tap[h] < taps(w) ? (blockIdx.x * 2 + h) % strips * STRIP : channels;
        steps[h][0] = tap[h] / w.kernel[2] / w.kernel[1];
        steps[h][1] = tap[h] / w.kernel[2] % w.kernel[1];
        steps[h][2] = tap[h] % w.kernel[2];
    }
    REAL taken[UP], made[2][ACROSS], factor[2];
    Position p(w, begin * DEPTH + k);

    const auto load = [&](INDEX slice) {
        const bool valid = slice * DEPTH + k < count;
        const REAL* from = grad_out + (p.n * group + g) * outputs * positions + p.index;
#pragma unroll
        for (int i = 0; i < UP; ++i) {
            const INDEX m = row0 + row + i * STEP;
            taken[i] = valid && m < outputs ? from[m * positions] : 0;
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const INDEX pixel = valid && channel[h] < channels ? p.pixel(w, steps[h]) : -1;
            const REAL* image = x + (p.n * group + g) * channels * pixels + pixel;
            factor[h] = pixel >= 0 && mask ? mask[(p.n * taps(w) + tap[h]) * positions + p.index] : 1;
#pragma unroll
            for (int i = 0; i < ACROSS; ++i) {
                const INDEX c = channel[h] + row + i * STEP;
                made[h][i] = pixel >= 0 && c < channels ? image[c * pixels] : 0;
            }
        }
        p.step(w, DEPTH);
    };
    const auto store = [&](int half) {
        REAL *a = (REAL*)left[half][k] + row, *b = (REAL*)right[half][k] + row;
#pragma unroll
        for (int i = 0; i < UP; ++i) a[i * STEP] = taken[i];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
            for (int i = 0; i < ACROSS; ++i) b[h * STRIP + i * STEP] = made[h][i] * factor[h];
        }
    };

    REAL sums[HEIGHT / SIDE][WIDTH / SIDE] = {};
    load(begin);
    store(0);
    __syncthreads();
    for (INDEX slice = begin; slice < end; ++slice) {
        const int half = (slice - begin) % 2;
        if (slice + 1 < end) load(slice + 1);
        multiply(left[half], right[half], sums);
        if (slice + 1 < end) store(1 - half);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < HEIGHT / SIDE; ++i) {
        const INDEX m = row0 + place(i, down_of_thread());
        REAL* to = parts + ((blockIdx.z * group + g) * outputs + m) * taps(w) * channels;
#pragma unroll
        for (int j = 0; j < WIDTH / SIDE; ++j) {
            const INDEX c = channel[j / 4] + place(j % 4, across_of_thread());
            if (m < outputs && c < channels) to[tap[j / 4] * channels + c] = sums[i][j];
        }
    }
}

KERNEL weight_128(
    const REAL* x, const REAL* mask, const REAL* grad_out, REAL* parts, int num, INDEX channels, INDEX outputs,
    int group,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    weight_product<128, SHORT>(x, mask, grad_out, parts, num, channels, outputs, group, w);
}

KERNEL weight_64(
    const REAL* x, const REAL* mask, const REAL* grad_out, REAL* parts, int num, INDEX channels, INDEX outputs,
    int group,
    int size0, int size1, int size2, int out0, int out1, int out2, int kernel0, int kernel1, int kernel2,
    int stride0, int stride1, int stride2, int pad0, int pad1, int pad2, int dilation0, int dilation1, int dilation2
) {
    const Window w = WINDOW;
    weight_product<64, SHORT>(x, mask, grad_out, parts, num, channels, outputs, group, w);
}

#undef LAUNCH_BOUNDS
#define LAUNCH_BOUNDS __launch_bounds__(BLOCK)

// Weights (group, outputs, inputs, taps), or (group, inputs, outputs, taps) if transposed, as products read them.
KERNEL pack(
    const REAL* weight, REAL* packed, int transposed, INDEX inputs, INDEX outputs, int taps, INDEX padded_inputs,
    INDEX padded_outputs, INDEX count
) {
    EACH(i, count) {
        const INDEX m = i % padded_outputs, c = i / padded_outputs % padded_inputs;
        const INDEX tap = i / padded_outputs / padded_inputs % taps, g = i / padded_outputs / padded_inputs / taps;
        const INDEX row = transposed ? (g * inputs + c) * outputs + m : (g * outputs + m) * inputs + c;
        packed[i] = m < outputs && c < inputs ? weight[row * taps + tap] : 0;
    }
}

// Sums of parts, in order, with a bias (channels) for each stretch of inner elements, if not null.
KERNEL add_parts(
    const REAL* parts, int many, const REAL* bias, REAL* out, INDEX channels, INDEX inner, INDEX count
) {
    EACH(i, count) {
        REAL sum = 0;
        for (INDEX part = 0; part < many; ++part) sum += parts[part * count + i];
        out[i] = bias ? sum + bias[i / inner % channels] : sum;
    }
}

// Adds the sums of parts (many, outputs, taps, channels) to grad (outputs, channels, taps).
KERNEL add_weight_parts(const REAL* parts, int many, REAL* grad, INDEX channels, int taps, INDEX count) {
    EACH(i, count) {
        REAL sum = 0;
        for (INDEX part = 0; part < many; ++part) sum += parts[part * count + i];
        const INDEX c = i % channels, tap = i / channels % taps, m = i / channels / taps;
        grad[(m * channels + c) * taps + tap] += sum;
    }
}
