// Softmax along the middle axis of (outer, classes, inner).

// One thread for each column: where there are many columns side by side.
KERNEL forward(const REAL* x, REAL* out, int classes, INDEX inner, INDEX columns) {
    EACH(i, columns) {
        const INDEX first = i / inner * classes * inner + i % inner;
        REAL top = x[first];
        for (int c = 1; c < classes; ++c) {
            const REAL value = x[first + c * inner];
            // The negated comparison lets a NaN through.
            if (!(value <= top)) top = value;
        }
        REAL sum = 0;
        for (int c = 0; c < classes; ++c) {
            const REAL e = exp(x[first + c * inner] - top);
            out[first + c * inner] = e;
            sum += e;
        }
        const REAL scale = 1 / sum;
        for (int c = 0; c < classes; ++c) out[first + c * inner] *= scale;
    }
}

// One block for each column: where a column is long.
KERNEL forward_long(const REAL* x, REAL* out, int classes, INDEX inner) {
    const INDEX first = (INDEX)blockIdx.x / inner * classes * inner + blockIdx.x % inner;
    REAL top = x[first];
    EACH_OF_BLOCK(c, classes) {
        const REAL value = x[first + c * inner];
        if (!(value <= top)) top = value;
    }
    top = block_max(top);
    REAL sum = 0;
    EACH_OF_BLOCK(c, classes) {
        const REAL e = exp(x[first + c * inner] - top);
        out[first + c * inner] = e;
        sum += e;
    }
    const REAL scale = 1 / block_sum(sum);
    EACH_OF_BLOCK(c, classes) out[first + c * inner] *= scale;
}

KERNEL backward(const REAL* prob, const REAL* grad, REAL* out, int classes, INDEX inner, INDEX columns) {
    EACH(i, columns) {
        const INDEX first = i / inner * classes * inner + i % inner;
        REAL dot = 0;
        for (int c = 0; c < classes; ++c) dot += prob[first + c * inner] * grad[first + c * inner];
        for (int c = 0; c < classes; ++c) {
            out[first + c * inner] = prob[first + c * inner] * (grad[first + c * inner] - dot);
        }
    }
}

KERNEL backward_long(const REAL* prob, const REAL* grad, REAL* out, int classes, INDEX inner) {
    const INDEX first = (INDEX)blockIdx.x / inner * classes * inner + blockIdx.x % inner;
    REAL dot = 0;
    EACH_OF_BLOCK(c, classes) dot += prob[first + c * inner] * grad[first + c * inner];
    dot = block_sum(dot);
    EACH_OF_BLOCK(c, classes) out[first + c * inner] = prob[first + c * inner] * (grad[first + c * inner] - dot);
}
