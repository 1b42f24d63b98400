// Distances of each pixel from those of a window around it, over all channels. Windows of stride 1 with as many
// positions as pixels go in strips; `forward` and `backward` take any.

#include "strips.cuh"

#define TAPS 8      // taps that a thread works on together
#define CHANNELS 8  // channels that a thread works on together
#define STRIP_CHANNELS 6  // the same in strips: what registers allow

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

// Distances of strips: a thread has 8 pixels and RUN taps of one column of their windows. A distance is the same seen
// from either pixel: only taps before the centre are computed, those after it are their neighbours'. Groups of taps are
// the runs of the columns left of the centre's, then those of the centre's down to the centre.
template <int RUN>
__device__ __forceinline__ void forward_strip(
    const REAL* image, REAL* dist, int num, INDEX channels, int height, int width, int kh, int kw, int dh, int dw,
    int l1, REAL center, REAL far
) {
    enum { PIXELS = 8, ROWS = PIXELS + RUN - 1 };
    const int runs = (kh + RUN - 1) / RUN, groups = runs * (kw / 2) + kh / 2 / RUN + 1, taps = kh * kw;
    const INDEX plane = (INDEX)height * width, step = (INDEX)dh * width;
    const Strip s = strip_of<PIXELS>((INDEX)blockIdx.x * BLOCK + threadIdx.x, groups, height, width, dh);
    if (s.x >= width || s.image >= num) return;
    const int tap_x = s.group / runs, tap_y = s.group % runs * RUN, last = tap_x == kw / 2 ? kh / 2 : kh - 1;
    const int tx = (tap_x - kw / 2) * dw, ty = (tap_y - kh / 2) * dh;
    const unsigned own_inside = rows_inside<PIXELS>(s.y, dh, height);
    const unsigned inside = s.x + tx >= 0 ? rows_inside<ROWS>(s.y + ty, dh, height) : 0;
    // Pixels on the other side, from the last tap's on: where there is none, nobody else writes the distance.
    const unsigned behind = s.x - tx < width ? rows_inside<ROWS>(s.y - ty - (RUN - 1) * dh, dh, height) : 0;
    const INDEX pixel = (INDEX)s.y * width + s.x, offset = (INDEX)ty * width + tx;
    const REAL *own = image + s.image * channels * plane + pixel, *other = own + offset;
    REAL sums[PIXELS][RUN] = {};
    if (inside && l1) correlate<Difference>(own, other, channels, plane, step, own_inside, inside, sums);
    if (inside && !l1) correlate<Square>(own, other, channels, plane, step, own_inside, inside, sums);
    REAL* out = dist + s.image * taps * plane + pixel;
#pragma unroll
    for (int k = 0; k < RUN; ++k) {
        if (tap_y + k > last) break;
        const int tap = (tap_y + k) * kw + tap_x;
        REAL *here = out + tap * plane, *opposite = out + (taps - 1 - tap) * plane;
#pragma unroll
        for (int j = 0; j < PIXELS; ++j) {
            if (!(own_inside >> j & 1)) continue;
            if (2 * tap == taps - 1) {
                here[j * step] = center;
                continue;
            }
            const REAL sum = l1 ? sums[j][k] : sums[j][k] * (REAL)0.5;
            const bool pair = inside >> (j + k) & 1;
            here[j * step] = pair ? sum : far;
            if (pair) opposite[offset + (j + k) * step] = sum;
            if (!(behind >> (j - k + RUN - 1) & 1)) opposite[j * step] = far;
        }
    }
}

// Gradient of strips: a thread has 4 pixels in 6 channels. A pixel is its neighbour's neighbour at the opposite tap, so
// that both ways' gradients multiply the same difference.
template <int RUN, bool L1>
__device__ __forceinline__ void backward_strip(
    const REAL* image, const REAL* dist_grad, REAL* image_grad, int num, INDEX channels, int height, int width, int kh,
    int kw, int dh, int dw
) {
    enum { PIXELS = 4, ROWS = PIXELS + RUN - 1 };
    const int groups = (channels + STRIP_CHANNELS - 1) / STRIP_CHANNELS, taps = kh * kw;
    const INDEX plane = (INDEX)height * width, step = (INDEX)dh * width;
    const INDEX i = (INDEX)blockIdx.x * BLOCK + threadIdx.x;
    const Strip s = strip_of<PIXELS>(i, groups, height, width, dh);
    if (s.x >= width || s.image >= num) return;
    const unsigned own_inside = rows_inside<PIXELS>(s.y, dh, height);
    const INDEX pixel = (INDEX)s.y * width + s.x;
    const int first = s.group * STRIP_CHANNELS;
    const REAL* own = image + (s.image * channels + first) * plane + pixel;
    const REAL* grads = dist_grad + s.image * taps * plane + pixel;
    REAL sums[STRIP_CHANNELS][PIXELS] = {};
    for (int tap_x = 0; tap_x < kw; ++tap_x) {
        const int tx = (tap_x - kw / 2) * dw;
        if (s.x + tx < 0 || s.x + tx >= width) continue;
#pragma unroll 1
        for (int tap_y = 0; tap_y < kh; tap_y += RUN) {
            const int ty = (tap_y - kh / 2) * dh, tap = tap_y * kw + tap_x;
            const unsigned inside = rows_inside<ROWS>(s.y + ty, dh, height);
            const INDEX offset = (INDEX)ty * width + tx;
            REAL weights[PIXELS][RUN];
#pragma unroll
            for (int k = 0; k < RUN; ++k) {
                const INDEX there = tap + k * kw, back = taps - 1 - there;
#pragma unroll
                for (int j = 0; j < PIXELS; ++j) {
                    const bool pair = tap_y + k < kh && (own_inside >> j & 1) && (inside >> (j + k) & 1);
                    const INDEX at = j * step;
                    weights[j][k] = pair ? grads[there * plane + at] + grads[back * plane + at + k * step + offset] : 0;
                }
            }
#pragma unroll
            for (int c = 0; c < STRIP_CHANNELS; ++c) {
                if (first + c >= channels) break;
                const REAL *here = own + c * plane, *other = here + offset;
                REAL a[PIXELS];
#pragma unroll
                for (int j = 0; j < PIXELS; ++j) a[j] = own_inside >> j & 1 ? here[j * step] : 0;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (!(inside >> r & 1)) continue;
                    const REAL b = other[r * step];
#pragma unroll
                    for (int j = 0; j < PIXELS; ++j) {
                        if (r - j >= 0 && r - j < RUN) sums[c][j] += weights[j][r - j] * slope(a[j] - b, L1);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int c = 0; c < STRIP_CHANNELS; ++c) {
#pragma unroll
        for (int j = 0; j < PIXELS; ++j) {
            if (first + c >= channels || !(own_inside >> j & 1)) continue;
            image_grad[(s.image * channels + first + c) * plane + pixel + j * step] = sums[c][j];
        }
    }
}

KERNEL forward_3(
    const REAL* image, REAL* dist, int num, INDEX channels, int height, int width, int kh, int kw, int dh, int dw,
    int l1, REAL center, REAL far
) {
    forward_strip<3>(image, dist, num, channels, height, width, kh, kw, dh, dw, l1, center, far);
}

KERNEL backward_3_l1(
    const REAL* image, const REAL* dist_grad, REAL* image_grad, int num, INDEX channels, int height, int width, int kh,
    int kw, int dh, int dw
) {
    backward_strip<3, true>(image, dist_grad, image_grad, num, channels, height, width, kh, kw, dh, dw);
}

KERNEL backward_3_l2(
    const REAL* image, const REAL* dist_grad, REAL* image_grad, int num, INDEX channels, int height, int width, int kh,
    int kw, int dh, int dw
) {
    backward_strip<3, false>(image, dist_grad, image_grad, num, channels, height, width, kh, kw, dh, dw);
}

KERNEL forward_7(
    const REAL* image, REAL* dist, int num, INDEX channels, int height, int width, int kh, int kw, int dh, int dw,
    int l1, REAL center, REAL far
) {
    forward_strip<7>(image, dist, num, channels, height, width, kh, kw, dh, dw, l1, center, far);
}

KERNEL backward_7_l1(
    const REAL* image, const REAL* dist_grad, REAL* image_grad, int num, INDEX channels, int height, int width, int kh,
    int kw, int dh, int dw
) {
    backward_strip<7, true>(image, dist_grad, image_grad, num, channels, height, width, kh, kw, dh, dw);
}

KERNEL backward_7_l2(
    const REAL* image, const REAL* dist_grad, REAL* image_grad, int num, INDEX channels, int height, int width, int kh,
    int kw, int dh, int dw
) {
    backward_strip<7, false>(image, dist_grad, image_grad, num, channels, height, width, kh, kw, dh, dw);
}
