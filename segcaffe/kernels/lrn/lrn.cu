// Local response normalisation. A region is (deep, high, wide): channels and pixels around a value, itself included.

struct Box {
    INDEX first;          // index of the region's first element
    int deep, high, wide;  // its extent inside the blob
};

__device__ inline Box box_of(INDEX i, int channels, int height, int width, int deep, int high, int wide) {
    const int x = i % width, y = i / width % height, c = i / width / height % channels;
    const int x0 = max(x - wide / 2, 0), y0 = max(y - high / 2, 0), c0 = max(c - deep / 2, 0);
    const INDEX pixels = (INDEX)height * width;
    return {
        i - (c - c0) * pixels - (INDEX)(y - y0) * width - (x - x0),
        min(c + deep / 2 + 1, channels) - c0, min(y + high / 2 + 1, height) - y0, min(x + wide / 2 + 1, width) - x0,
    };
}

KERNEL forward(
    const REAL* bottom, REAL* scale, REAL* top, int channels, int height, int width, int deep, int high, int wide,
    REAL factor, REAL beta, REAL k, INDEX count
) {
    EACH(i, count) {
        const Box box = box_of(i, channels, height, width, deep, high, wide);
        REAL sum = 0;
        for (int c = 0; c < box.deep; ++c) {
            for (int y = 0; y < box.high; ++y) {
                const REAL* row = bottom + box.first + ((INDEX)c * height + y) * width;
                for (int x = 0; x < box.wide; ++x) sum += row[x] * row[x];
            }
        }
        const REAL s = k + factor * sum;
        scale[i] = s;
        top[i] = bottom[i] * pow(s, -beta);
    }
}

KERNEL backward(
    const REAL* bottom, const REAL* scale, const REAL* top, const REAL* top_grad, REAL* bottom_grad, int channels,
    int height, int width, int deep, int high, int wide, REAL factor, REAL beta, INDEX count
) {
    EACH(i, count) {
        const Box box = box_of(i, channels, height, width, deep, high, wide);
        REAL sum = 0;
        for (int c = 0; c < box.deep; ++c) {
            for (int y = 0; y < box.high; ++y) {
                const INDEX row = box.first + ((INDEX)c * height + y) * width;
                for (int x = 0; x < box.wide; ++x) sum += top_grad[row + x] * top[row + x] / scale[row + x];
            }
        }
        bottom_grad[i] = top_grad[i] * pow(scale[i], -beta) - factor * bottom[i] * sum;
    }
}
