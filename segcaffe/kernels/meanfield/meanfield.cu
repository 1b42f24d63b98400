// Filtering classes with weights (num, taps, height, width) that all classes share, in windows of stride 1 with as many
// positions as there are pixels: in strips.

#include "strips.cuh"

#define CLASSES 7  // classes that a thread filters together at most, for one reading of the weights

// A thread has 4 pixels in up to CLASSES classes, as many in each group as make the groups alike. Per RUN taps of a
// column it reads 4 * RUN weights and 3 + RUN values of each class for 4 * RUN multiply-adds of each class.
template <int RUN>
__device__ __forceinline__ void filter_strip(
    const REAL* values, const REAL* weights, REAL* out, int num, INDEX classes, int height, int width, int kh, int kw,
    int ph, int pw, int dh, int dw, int transposed
) {
    enum { PIXELS = 4, ROWS = PIXELS + RUN - 1 };
    const int groups = (classes + CLASSES - 1) / CLASSES, each = (classes + groups - 1) / groups;
    const INDEX plane = (INDEX)height * width, step = (INDEX)dh * width;
    const INDEX i = (INDEX)blockIdx.x * BLOCK + threadIdx.x;
    const Strip s = strip_of<PIXELS>(i, groups, height, width, dh);
    if (s.x >= width || s.image >= num) return;
    const unsigned own_inside = rows_inside<PIXELS>(s.y, dh, height);
    const INDEX pixel = (INDEX)s.y * width + s.x, first = s.image * classes + s.group * each;
    const int many = min((INDEX)each, classes - s.group * each);
    const REAL* from = values + first * plane + pixel;
    const REAL* given = weights + s.image * kh * kw * plane + pixel;
    REAL sums[CLASSES][PIXELS] = {};
    for (int step_x = 0; step_x < kw; ++step_x) {
        // Transposed, the weight is that of the pixel whose neighbour this one is: taps are gone through backwards,
        // so that rows still follow each other downwards.
        const int tx = transposed ? pw - (kw - 1 - step_x) * dw : step_x * dw - pw;
        if (s.x + tx < 0 || s.x + tx >= width) continue;
#pragma unroll 1
        for (int step_y = 0; step_y < kh; step_y += RUN) {
            const int ty = transposed ? ph - (kh - 1 - step_y) * dh : step_y * dh - ph;
            const unsigned inside = rows_inside<ROWS>(s.y + ty, dh, height);
            const INDEX offset = (INDEX)ty * width + tx, place = step_y * kw + step_x;
            REAL by[PIXELS][RUN];
#pragma unroll
            for (int k = 0; k < RUN; ++k) {
                const INDEX tap = transposed ? kh * kw - 1 - place - k * kw : place + k * kw;
                const REAL* row = given + tap * plane + (transposed ? offset + k * step : 0);
#pragma unroll
                for (int j = 0; j < PIXELS; ++j) {
                    const bool pair = step_y + k < kh && (own_inside >> j & 1) && (inside >> (j + k) & 1);
                    by[j][k] = pair ? row[j * step] : 0;
                }
            }
#pragma unroll
            for (int c = 0; c < CLASSES; ++c) {
                if (c >= many) break;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    const REAL value = inside >> r & 1 ? from[c * plane + offset + r * step] : 0;
#pragma unroll
                    for (int j = 0; j < PIXELS; ++j) {
                        if (r - j >= 0 && r - j < RUN) sums[c][j] += by[j][r - j] * value;
                    }
                }
            }
        }
    }
#pragma unroll
    for (int c = 0; c < CLASSES; ++c) {
#pragma unroll
        for (int j = 0; j < PIXELS; ++j) {
            if (c < many && (own_inside >> j & 1)) out[(first + c) * plane + pixel + j * step] = sums[c][j];
        }
    }
}

// A thread has 5 pixels and RUN taps of one column of their windows.
template <int RUN>
__device__ __forceinline__ void weight_strip(
    const REAL* values, const REAL* out_grad, REAL* weight_grad, int num, INDEX classes, int height, int width, int kh,
    int kw, int ph, int pw, int dh, int dw
) {
    enum { PIXELS = 5 };
    const int runs = (kh + RUN - 1) / RUN, groups = runs * kw;
    const INDEX plane = (INDEX)height * width, step = (INDEX)dh * width;
    const INDEX i = (INDEX)blockIdx.x * BLOCK + threadIdx.x;
    const Strip s = strip_of<PIXELS>(i, groups, height, width, dh);
    const int tap_x = s.group / runs, tap_y = s.group % runs * RUN;
    const int x = s.x + tap_x * dw - pw, y = s.y + tap_y * dh - ph;
    if (s.x >= width || s.image >= num || x < 0 || x >= width) return;
    const unsigned own_inside = rows_inside<PIXELS>(s.y, dh, height);
    const unsigned inside = rows_inside<PIXELS + RUN - 1>(y, dh, height);
    if (!inside) return;
    const INDEX first = s.image * classes * plane, pixel = (INDEX)s.y * width + s.x;
    const REAL *own = out_grad + first + pixel, *other = values + first + (INDEX)y * width + x;
    REAL sums[PIXELS][RUN] = {};
    correlate<Product>(own, other, classes, plane, step, own_inside, inside, sums);
    REAL* to = weight_grad + (s.image * kh * kw + tap_y * kw + tap_x) * plane + pixel;
#pragma unroll
    for (int k = 0; k < RUN; ++k) {
#pragma unroll
        for (int j = 0; j < PIXELS; ++j) {
            const bool pair = tap_y + k < kh && (own_inside >> j & 1) && (inside >> (j + k) & 1);
            if (pair) to[k * kw * plane + j * step] += sums[j][k];
        }
    }
}

KERNEL filter_3(
    const REAL* values, const REAL* weights, REAL* out, int num, INDEX classes, int height, int width, int kh, int kw,
    int ph, int pw, int dh, int dw, int transposed
) {
    filter_strip<3>(values, weights, out, num, classes, height, width, kh, kw, ph, pw, dh, dw, transposed);
}

KERNEL add_weight_grad_3(
    const REAL* values, const REAL* out_grad, REAL* weight_grad, int num, INDEX classes, int height, int width, int kh,
    int kw, int ph, int pw, int dh, int dw
) {
    weight_strip<3>(values, out_grad, weight_grad, num, classes, height, width, kh, kw, ph, pw, dh, dw);
}

KERNEL filter_7(
    const REAL* values, const REAL* weights, REAL* out, int num, INDEX classes, int height, int width, int kh, int kw,
    int ph, int pw, int dh, int dw, int transposed
) {
    filter_strip<7>(values, weights, out, num, classes, height, width, kh, kw, ph, pw, dh, dw, transposed);
}

KERNEL add_weight_grad_7(
    const REAL* values, const REAL* out_grad, REAL* weight_grad, int num, INDEX classes, int height, int width, int kh,
    int kw, int ph, int pw, int dh, int dw
) {
    weight_strip<7>(values, out_grad, weight_grad, num, classes, height, width, kh, kw, ph, pw, dh, dw);
}
