// Bilinear resizing by tables of places: low is the pixel before an output's place, weight how far beyond it lies.

KERNEL forward(
    const REAL* image, REAL* top, const int* low_y, const float* weight_y, const int* low_x, const float* weight_x,
    int height, int width, int rows, int cols, INDEX count
) {
    EACH(i, count) {
        const int ox = i % cols, oy = i / cols % rows;
        const int x0 = low_x[ox], y0 = low_y[oy], x1 = min(x0 + 1, width - 1), y1 = min(y0 + 1, height - 1);
        const REAL wx = weight_x[ox], wy = weight_y[oy];
        const REAL* upper = image + (i / cols / rows * height + y0) * width;
        const REAL* lower = image + (i / cols / rows * height + y1) * width;
        const REAL a = upper[x0] + (upper[x1] - upper[x0]) * wx;
        // A row of weight 0 is not looked at: it may hold what is not a number.
        top[i] = wy == 0 ? a : a + (lower[x0] + (lower[x1] - lower[x0]) * wx - a) * wy;
    }
}

// The first place in a rising table that is at least value.
__device__ inline int lower_bound(const int* table, int size, int value) {
    int low = 0;
    while (size > 0) {
        const int half = size / 2;
        if (table[low + half] < value) {
            low += half + 1;
            size -= half + 1;
        } else {
            size = half;
        }
    }
    return low;
}

// The share of a pixel in an output whose place lies at or after it, or before it.
__device__ inline REAL share(int pixel, int low, REAL weight, int size) {
    const REAL own = low == pixel ? 1 - weight : 0;
    return min(low + 1, size - 1) == pixel ? own + weight : own;
}

KERNEL backward(
    const REAL* top_grad, REAL* image_grad, const int* low_y, const float* weight_y, const int* low_x,
    const float* weight_x, int height, int width, int rows, int cols, INDEX count
) {
    EACH(i, count) {
        const int x = i % width, y = i / width % height;
        const int first_y = lower_bound(low_y, rows, y - 1), last_y = lower_bound(low_y, rows, y + 1);
        const int first_x = lower_bound(low_x, cols, x - 1), last_x = lower_bound(low_x, cols, x + 1);
        const REAL* grad = top_grad + i / width / height * rows * cols;
        REAL sum = 0;
        for (int oy = first_y; oy < last_y; ++oy) {
            REAL row = 0;
            for (int ox = first_x; ox < last_x; ++ox) {
                row += grad[(INDEX)oy * cols + ox] * share(x, low_x[ox], weight_x[ox], width);
            }
            sum += row * share(y, low_y[oy], weight_y[oy], height);
        }
        image_grad[i] = sum;
    }
}
