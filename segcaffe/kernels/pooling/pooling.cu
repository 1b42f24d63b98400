// Pooling over sliding windows of each channel; gradients are gathered, so that every sum has one order.
// The sizes are of the image and the tops; kernel, stride, padding in front and behind, dilation of the window.

#define TINY ((REAL)1.17549435e-38)

struct Span {
    int first, last;  // pixels inside the image; as many apart as the dilation says
};

__device__ inline Span clip(int o, int kernel, int stride, int pad, int size, int step) {
    const int start = o * stride - pad;
    const int first = start >= 0 ? start : start + (-start + step - 1) / step * step;
    return {first, min(start + (kernel - 1) * step + 1, size)};
}

// How many pixels of a window count for its mean, along one axis.
__device__ inline int counted(int o, int kernel, int stride, int pad, int behind, int size, int step, int only) {
    const int start = o * stride - pad;
    const Span span = clip(o, kernel, stride, pad, size, step);
    const int length = only ? span.last - span.first : min(start + (kernel - 1) * step + 1, size + behind) - start;
    return max(length + step - 1, 0) / step;
}

// The windows along one axis that may hold pixel x: first ... last - 1.
__device__ inline Span windows_of(int x, int kernel, int stride, int pad, int count, int step) {
    const int start = x + pad - (kernel - 1) * step;
    return {start <= 0 ? 0 : (start + stride - 1) / stride, min((x + pad) / stride + 1, count)};
}

#define EACH_OUTPUT(i)                                                          \
    EACH(i, count) {                                                            \
        const int ox = i % cols, oy = i / cols % rows;                          \
        const INDEX plane = i / cols / rows * height * width;                   \
        const Span v = clip(oy, kh, sh, ph, height, dh), h = clip(ox, kw, sw, pw, width, dw);

// As above, over pixels: the windows that hold a pixel, down and across, and where its channel's windows begin.
#define EACH_PIXEL(i)                                                           \
    EACH(i, count) {                                                            \
        const int x = i % width, y = i / width % height;                        \
        const INDEX plane = i / width / height * rows * cols;                   \
        const Span v = windows_of(y, kh, sh, ph, rows, dh), h = windows_of(x, kw, sw, pw, cols, dw);

KERNEL max_forward(
    const REAL* image, REAL* top, int* mask, REAL lowest,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_OUTPUT(i)
        const bool empty = v.first >= v.last || h.first >= h.last;
        int place = -1;
        REAL best = lowest;
        for (int y = v.first; y < v.last; y += dh) {
            for (int x = h.first; x < h.last; x += dw) {
                const REAL value = image[plane + (INDEX)y * width + x];
                // NaN loses against any number; the first of equals stays.
                if (value > best || (place < 0 && value == value)) {
                    best = value;
                    place = y * width + x;
                }
            }
        }
        if (place < 0 && !empty) {
            place = v.first * width + h.first;
            best = image[plane + place];
        }
        top[i] = best;
        mask[i] = place;
    }
}

KERNEL scatter(
    const REAL* top_grad, const int* mask, REAL* image_grad,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_PIXEL(i)
        REAL sum = 0;
        for (int oy = v.first; oy < v.last; ++oy) {
            for (int ox = h.first; ox < h.last; ++ox) {
                const INDEX o = plane + (INDEX)oy * cols + ox;
                if (mask[o] == y * width + x) sum += top_grad[o];
            }
        }
        image_grad[i] = sum;
    }
}

KERNEL average_forward(
    const REAL* image, REAL* top, int only,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_OUTPUT(i)
        REAL sum = 0;
        for (int y = v.first; y < v.last; y += dh) {
            for (int x = h.first; x < h.last; x += dw) sum += image[plane + (INDEX)y * width + x];
        }
        const int down = counted(oy, kh, sh, ph, bh, height, dh, only);
        const int across = counted(ox, kw, sw, pw, bw, width, dw, only);
        top[i] = sum / max(down * across, 1);
    }
}

KERNEL average_backward(
    const REAL* top_grad, REAL* image_grad, int only,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_PIXEL(i)
        REAL sum = 0;
        for (int oy = v.first; oy < v.last; ++oy) {
            if ((y + ph - oy * sh) % dh) continue;
            const int down = counted(oy, kh, sh, ph, bh, height, dh, only);
            for (int ox = h.first; ox < h.last; ++ox) {
                if ((x + pw - ox * sw) % dw) continue;
                const int across = counted(ox, kw, sw, pw, bw, width, dw, only);
                sum += top_grad[plane + (INDEX)oy * cols + ox] / max(down * across, 1);
            }
        }
        image_grad[i] = sum;
    }
}

KERNEL stochastic_forward(
    const REAL* image, const REAL* chance, REAL* top, int* mask,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_OUTPUT(i)
        REAL sum = 0, so_far = 0;
        for (int y = v.first; y < v.last; ++y) {
            for (int x = h.first; x < h.last; ++x) sum += image[plane + (INDEX)y * width + x];
        }
        const REAL limit = chance[i] * sum;
        int pick = -1;
        for (int y = v.first; y < v.last && pick < 0; ++y) {
            for (int x = h.first; x < h.last && pick < 0; ++x) {
                so_far += image[plane + (INDEX)y * width + x];
                if (so_far >= limit || (y == v.last - 1 && x == h.last - 1)) pick = y * width + x;
            }
        }
        top[i] = pick < 0 ? 0 : image[plane + pick];
        mask[i] = pick;
    }
}

KERNEL weighted_forward(
    const REAL* image, REAL* top,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_OUTPUT(i)
        REAL sum = TINY, squares = 0;
        for (int y = v.first; y < v.last; ++y) {
            for (int x = h.first; x < h.last; ++x) {
                const REAL value = image[plane + (INDEX)y * width + x];
                sum += value;
                squares += value * value;
            }
        }
        top[i] = squares / sum;
    }
}

// What each window gives per unit of 2 value - top: its gradient over the sum of its values.
KERNEL weighted_shares(
    const REAL* image, const REAL* top_grad, REAL* shares,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_OUTPUT(i)
        REAL sum = TINY;
        for (int y = v.first; y < v.last; ++y) {
            for (int x = h.first; x < h.last; ++x) sum += image[plane + (INDEX)y * width + x];
        }
        shares[i] = top_grad[i] / sum;
    }
}

KERNEL weighted_backward(
    const REAL* image, const REAL* top, const REAL* shares, REAL* image_grad,
    int height, int width, int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int bh, int bw,
    int dh, int dw, INDEX count
) {
    EACH_PIXEL(i)
        REAL sum = 0;
        for (int oy = v.first; oy < v.last; ++oy) {
            for (int ox = h.first; ox < h.last; ++ox) {
                const INDEX o = plane + (INDEX)oy * cols + ox;
                sum += shares[o] * (2 * image[i] - top[o]);
            }
        }
        image_grad[i] = sum;
    }
}
