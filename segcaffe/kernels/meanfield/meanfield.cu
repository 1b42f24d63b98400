// Filtering classes with weights (num, taps, height, width) that all classes share; windows of stride 1.

#define CLASSES 8  // classes that a thread filters together, for one reading of the weights

KERNEL filter(
    const REAL* values, const REAL* weights, REAL* out, int num, INDEX classes, int height, int width, int kh, int kw,
    int ph, int pw, int dh, int dw, int transposed
) {
    const int taps = kh * kw;
    const INDEX pixels = (INDEX)height * width, groups = (classes + CLASSES - 1) / CLASSES;
    EACH(i, num * groups * pixels) {
        const int x = i % width, y = i / width % height;
        const INDEX first = i / pixels % groups * CLASSES, n = i / pixels / groups;
        const INDEX many = min((INDEX)CLASSES, classes - first), pixel = i % pixels;
        const REAL* from = values + (n * classes + first) * pixels;
        REAL sums[CLASSES];
        for (int k = 0; k < CLASSES; ++k) sums[k] = 0;
        for (int tap = 0; tap < taps; ++tap) {
            const int ty = tap / kw * dh - ph, tx = tap % kw * dw - pw;
            // Transposed, the weight is that of the pixel whose neighbour this one is.
            const int y2 = transposed ? y - ty : y + ty, x2 = transposed ? x - tx : x + tx;
            if (y2 < 0 || y2 >= height || x2 < 0 || x2 >= width) continue;
            const INDEX other = (INDEX)y2 * width + x2;
            const REAL weight = weights[(n * taps + tap) * pixels + (transposed ? other : pixel)];
            for (INDEX k = 0; k < many; ++k) sums[k] += weight * from[k * pixels + other];
        }
        for (INDEX k = 0; k < many; ++k) out[(n * classes + first + k) * pixels + pixel] = sums[k];
    }
}

KERNEL add_weight_grad(
    const REAL* values, const REAL* out_grad, REAL* weight_grad, int num, INDEX classes, int height, int width, int kh,
    int kw, int ph, int pw, int dh, int dw
) {
    const int taps = kh * kw;
    const INDEX pixels = (INDEX)height * width;
    EACH(i, num * taps * pixels) {
        const int x = i % width, y = i / width % height, tap = i / pixels % taps;
        const INDEX n = i / pixels / taps;
        const int y2 = y + tap / kw * dh - ph, x2 = x + tap % kw * dw - pw;
        if (y2 < 0 || y2 >= height || x2 < 0 || x2 >= width) continue;
        const INDEX own = n * classes * pixels + i % pixels, other = n * classes * pixels + (INDEX)y2 * width + x2;
        REAL sum = 0;
        for (INDEX c = 0; c < classes; ++c) sum += out_grad[own + c * pixels] * values[other + c * pixels];
        weight_grad[i] += sum;
    }
}
