// The negative log likelihood of labels, given their probabilities, and the gradient through the softmax.

// Sums of one part of the labels: loss, weights, position of a bad label; partial is (3, blocks).
KERNEL partial_sums(
    const REAL* prob, const REAL* label, const REAL* weight, long long ignore, REAL floor, double* partial, int classes,
    INDEX inner, INDEX columns
) {
    double loss = 0, weights = 0, bad = -1;
    EACH(i, columns) {
        const int k = class_of(label[i], classes, ignore);
        if (k == -2) bad = i;
        if (k < 0) continue;
        REAL p = prob[(i / inner * classes + k) * inner + i % inner];
        // Written so that a NaN stays one.
        p = p < floor ? floor : p;
        loss -= weight[k] * log(p);
        weights += weight[k];
    }
    loss = block_sum(loss);
    weights = block_sum(weights);
    bad = block_max(bad);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = loss;
        partial[gridDim.x + blockIdx.x] = weights;
        partial[2 * gridDim.x + blockIdx.x] = bad;
    }
}

KERNEL add_partial_sums(const double* partial, int parts, double* totals) {
    double loss = 0, weights = 0, bad = -1;
    EACH_OF_BLOCK(i, parts) {
        loss += partial[i];
        weights += partial[parts + i];
        bad = max(bad, partial[2 * parts + i]);
    }
    loss = block_sum(loss);
    weights = block_sum(weights);
    bad = block_max(bad);
    if (threadIdx.x == 0) {
        totals[0] = loss;
        totals[1] = weights;
        totals[2] = bad;
    }
}

KERNEL backward(
    const REAL* prob, const REAL* label, const REAL* weight, long long ignore, REAL scale, REAL* out, int classes,
    INDEX inner, INDEX count
) {
    EACH(i, count) {
        const int c = i / inner % classes;
        const int k = class_of(label[i / inner / classes * inner + i % inner], classes, ignore);
        const REAL factor = k >= 0 ? scale * weight[k] : 0;
        out[i] = k == c ? prob[i] * factor - factor : prob[i] * factor;
    }
}
