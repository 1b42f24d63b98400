// Arrays of shape (outer, channels, inner) with a vector over the channels.

enum { SUM = 0, DOT = 1, DOT_NEGATIVE = 2 };

// What one element adds to its channel's sum.
__device__ inline REAL term(const REAL* a, const REAL* b, int what, INDEX i) {
    return what == SUM ? a[i] : what == DOT ? a[i] * b[i] : a[i] <= 0 ? a[i] * b[i] : 0;
}

KERNEL affine(const REAL* x, const REAL* scale, const REAL* bias, REAL* y, INDEX channels, INDEX inner, INDEX count) {
    EACH(i, count) {
        const INDEX c = i / inner % channels;
        y[i] = x[i] * scale[c] + bias[c];
    }
}

KERNEL rectified_affine(
    const REAL* x, const REAL* scale, const REAL* bias, const REAL* slope, REAL* y, INDEX channels, INDEX inner,
    INDEX count
) {
    EACH(i, count) {
        const INDEX c = i / inner % channels;
        const REAL value = x[i] * scale[c] + bias[c];
        y[i] = value <= 0 ? (slope[c] == 0 ? 0 : slope[c] * value) : value;
    }
}

KERNEL rectified_affine_grad(
    const REAL* y, const REAL* dy, const REAL* scale, REAL slope, REAL* dx, INDEX channels, INDEX inner, INDEX count
) {
    EACH(i, count) {
        const REAL factor = scale[i / inner % channels];
        dx[i] = dy[i] * (y[i] > 0 ? factor : slope * factor);
    }
}

KERNEL prelu_grad(const REAL* x, const REAL* dy, const REAL* slope, REAL* dx, INDEX channels, INDEX inner, INDEX count) {
    EACH(i, count) dx[i] = x[i] > 0 ? dy[i] : slope[i / inner % channels] * dy[i];
}

// Sums of one part of each channel's elements: block (part, channel); partial is (channels, parts).
KERNEL partial_sums(
    const REAL* a, const REAL* b, int what, double* partial, INDEX outer, INDEX channels, INDEX inner
) {
    const INDEX c = blockIdx.y, size = outer * inner;
    const INDEX part = (size - 1) / gridDim.x + 1;
    const INDEX first = blockIdx.x * part, last = min(size, first + part);
    REAL sum = 0;
    for (INDEX j = first + threadIdx.x; j < last; j += BLOCK) {
        sum += term(a, b, what, (j / inner * channels + c) * inner + j % inner);
    }
    const double total = block_sum((double)sum);
    if (threadIdx.x == 0) partial[c * gridDim.x + blockIdx.x] = total;
}

// The same where inner is 1, so that threads read neighbours: thread (channel), grid row (part).
KERNEL partial_row_sums(const REAL* a, const REAL* b, int what, double* partial, INDEX outer, INDEX channels) {
    const INDEX part = (outer - 1) / gridDim.y + 1;
    const INDEX first = blockIdx.y * part, last = min(outer, first + part);
    EACH(c, channels) {
        REAL sum = 0;
        for (INDEX n = first; n < last; ++n) sum += term(a, b, what, n * channels + c);
        partial[c * gridDim.y + blockIdx.y] = sum;
    }
}

KERNEL add_partial_sums(const double* partial, int parts, REAL* out, INDEX channels, int accumulate) {
    EACH(c, channels) {
        double sum = 0;
        for (int part = 0; part < parts; ++part) sum += partial[c * parts + part];
        out[c] = accumulate ? out[c] + (REAL)sum : (REAL)sum;
    }
}
