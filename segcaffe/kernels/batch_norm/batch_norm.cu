// Statistics of channels of (num, channels, length), in float64 from sums of short runs in REAL.

// Sums of x - guess and of its square, over one part of each channel: block (part, channel);
// partial is (2, channels, parts), guess the channel's first value, so that squares do not drown in the mean.
KERNEL partial_powers(const REAL* x, double* partial, INDEX num, INDEX channels, INDEX length) {
    const INDEX c = blockIdx.y, size = num * length;
    const INDEX part = (size - 1) / gridDim.x + 1;
    const INDEX first = blockIdx.x * part, last = min(size, first + part);
    const REAL guess = x[c * length];
    REAL sum = 0, squares = 0;
    for (INDEX j = first + threadIdx.x; j < last; j += BLOCK) {
        const REAL d = x[(j / length * channels + c) * length + j % length] - guess;
        sum += d;
        squares += d * d;
    }
    const double a = block_sum((double)sum), b = block_sum((double)squares);
    if (threadIdx.x == 0) {
        partial[c * gridDim.x + blockIdx.x] = a;
        partial[(channels + c) * gridDim.x + blockIdx.x] = b;
    }
}

KERNEL moments(
    const REAL* x, const double* partial, int parts, double* mean, double* variance, INDEX channels, INDEX length,
    double count
) {
    EACH(c, channels) {
        double sum = 0, squares = 0;
        for (int part = 0; part < parts; ++part) {
            sum += partial[c * parts + part];
            squares += partial[(channels + c) * parts + part];
        }
        sum /= count;
        squares = squares / count - sum * sum;
        mean[c] = (double)x[c * length] + sum;
        variance[c] = squares < 0 ? 0 : squares;
    }
}

KERNEL normalize(
    const REAL* x, const double* mean, const double* scale, REAL* out, INDEX channels, INDEX length, INDEX count
) {
    EACH(i, count) {
        const INDEX c = i / length % channels;
        out[i] = (x[i] - (REAL)mean[c]) * (REAL)scale[c];
    }
}

// Sums of grad and of grad * (x - mean) over one part of each channel: block (part, channel).
KERNEL partial_gradients(
    const REAL* x, const double* mean, const REAL* grad, double* partial, INDEX num, INDEX channels, INDEX length
) {
    const INDEX c = blockIdx.y, size = num * length;
    const INDEX part = (size - 1) / gridDim.x + 1;
    const INDEX first = blockIdx.x * part, last = min(size, first + part);
    const REAL m = mean[c];
    REAL sum = 0, along = 0;
    for (INDEX j = first + threadIdx.x; j < last; j += BLOCK) {
        const INDEX i = (j / length * channels + c) * length + j % length;
        sum += grad[i];
        along += grad[i] * (x[i] - m);
    }
    const double a = block_sum((double)sum), b = block_sum((double)along);
    if (threadIdx.x == 0) {
        partial[c * gridDim.x + blockIdx.x] = a;
        // What rounding the mean added.
        partial[(channels + c) * gridDim.x + blockIdx.x] = b + a * ((double)m - mean[c]);
    }
}

// Each channel's mean of grad and slope of grad along x: averages is (2, channels).
KERNEL average_gradients(
    const double* partial, int parts, const double* scale, double* averages, INDEX channels, double count
) {
    EACH(c, channels) {
        double sum = 0, along = 0;
        for (int part = 0; part < parts; ++part) {
            sum += partial[c * parts + part];
            along += partial[(channels + c) * parts + part];
        }
        averages[c] = sum / count;
        averages[channels + c] = along / count * scale[c] * scale[c];
    }
}

KERNEL backward(
    const REAL* x, const double* mean, const double* scale, const REAL* grad, const double* averages, REAL* out,
    INDEX channels, INDEX length, INDEX count
) {
    EACH(i, count) {
        const INDEX c = i / length % channels;
        const REAL along = averages[channels + c];
        out[i] = (REAL)scale[c] * (grad[i] - (REAL)averages[c] - (x[i] - (REAL)mean[c]) * along);
    }
}
