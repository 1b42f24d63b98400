// Distances of each pixel from those of a window around it, over all channels.

#define TAPS 8      // taps that a thread works on together
#define CHANNELS 8  // channels that a thread works on together

// The gradient of the distance by the difference.
__device__ inline REAL slope(REAL d, int l1) { return !l1 ? d : d > 0 ? 1 : d < 0 ? -1 : 0; }

KERNEL forward(
    const REAL* image, REAL* dist, int num, INDEX channels, int height, int width, int rows, int cols,
    int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw, int l1, REAL center, REAL far
) {
    const int taps = kh * kw, groups = (taps + TAPS - 1) / TAPS;
    const INDEX plane = (INDEX)rows * cols, pixels = (INDEX)height * width;
    EACH(i, (INDEX)num * groups * plane) {
        const int ox = i % cols, oy = i / cols % rows, first = i / plane % groups * TAPS;
        const INDEX n = i / plane / groups;
        const int x = ox * sw - pw + kw / 2 * dw, y = oy * sh - ph + kh / 2 * dh;
        const bool valid = x >= 0 && x < width && y >= 0 && y < height;
        const REAL* own = image + n * channels * pixels + (INDEX)y * width + x;
        // Taps that need no sum read the centre itself and get their value in the end.
        INDEX other[TAPS];
        REAL sums[TAPS], fixed[TAPS];
        bool summed[TAPS];
        for (int k = 0; k < TAPS; ++k) {
            const int tap = first + k;
            const int ty = (tap / kw - kh / 2) * dh, tx = (tap % kw - kw / 2) * dw;
            const bool here = x + tx >= 0 && x + tx < width && y + ty >= 0 && y + ty < height;
            summed[k] = valid && tap < taps && here && (tx != 0 || ty != 0);
            other[k] = summed[k] ? (INDEX)ty * width + tx : 0;
            fixed[k] = !valid ? 0 : here ? center : far;
            sums[k] = 0;
        }
        for (INDEX c = 0; c < channels && valid; ++c) {
            const REAL* pixel = own + c * pixels;
            const REAL value = *pixel;
            for (int k = 0; k < TAPS; ++k) {
                const REAL d = value - pixel[other[k]];
                sums[k] += l1 ? fabs(d) : d * d;
            }
        }
        for (int k = 0; k < TAPS && first + k < taps; ++k) {
            const REAL sum = l1 ? sums[k] : sums[k] * (REAL)0.5;
            dist[(n * taps + first + k) * plane + (INDEX)oy * cols + ox] = summed[k] ? sum : fixed[k];
        }
    }
}

// The window whose centre along one axis is pixel x; -1 if there is none.
__device__ inline int window_at(int x, int kernel, int stride, int pad, int dilation, int count) {
    const int start = x + pad - kernel / 2 * dilation, o = start / stride;
    return start >= 0 && o * stride == start && o < count ? o : -1;
}

// Each pixel gathers what it gets as a centre and as a neighbour.
KERNEL backward(
    const REAL* image, const REAL* dist_grad, REAL* image_grad, int num, INDEX channels, int height, int width,
    int rows, int cols, int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw, int l1
) {
    const int taps = kh * kw;
    const INDEX plane = (INDEX)rows * cols, pixels = (INDEX)height * width;
    const INDEX groups = (channels + CHANNELS - 1) / CHANNELS;
    EACH(i, (INDEX)num * groups * pixels) {
        const int x = i % width, y = i / width % height;
        const INDEX first = i / pixels % groups * CHANNELS, n = i / pixels / groups;
        const INDEX many = min((INDEX)CHANNELS, channels - first);
        const REAL* own = image + (n * channels + first) * pixels + (INDEX)y * width + x;
        REAL sums[CHANNELS];
        for (int k = 0; k < CHANNELS; ++k) sums[k] = 0;
        for (int side = 0; side < 2 * taps; ++side) {
            const int tap = side >> 1, sign = side & 1 ? -1 : 1;
            const int ty = (tap / kw - kh / 2) * dh, tx = (tap % kw - kw / 2) * dw;
            const int y2 = y + sign * ty, x2 = x + sign * tx;
            if (x2 < 0 || x2 >= width || y2 < 0 || y2 >= height) continue;
            const int oy = window_at(sign > 0 ? y : y2, kh, sh, ph, dh, rows);
            const int ox = window_at(sign > 0 ? x : x2, kw, sw, pw, dw, cols);
            if (oy < 0 || ox < 0) continue;
            const REAL weight = dist_grad[(n * taps + tap) * plane + (INDEX)oy * cols + ox];
            const REAL* other = own + (INDEX)sign * (ty * width + tx);
            for (INDEX k = 0; k < many; ++k) sums[k] += weight * slope(own[k * pixels] - other[k * pixels], l1);
        }
        for (INDEX k = 0; k < many; ++k) {
            image_grad[(n * channels + first + k) * pixels + (INDEX)y * width + x] = sums[k];
        }
    }
}
