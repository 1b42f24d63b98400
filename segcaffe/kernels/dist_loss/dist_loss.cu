// Hinge loss on distances: small within a label, large across labels.

__device__ inline REAL hinge_of(REAL dist, int label, REAL alpha, REAL beta, int ignored) {
    const REAL hinge = label == 0 ? beta - dist : dist - alpha;
    // A NaN or infinite distance shows in the loss whatever its label.
    return label == ignored || hinge < 0 ? dist * 0 : hinge;
}

KERNEL partial_sums(
    const REAL* dist, const REAL* parity, double* partial, REAL alpha, REAL beta, int ignored, INDEX count
) {
    REAL sum = 0;
    EACH(i, count) sum += hinge_of(dist[i], (int)parity[i], alpha, beta, ignored);
    const double total = block_sum((double)sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

KERNEL mean(const double* partial, int parts, REAL* loss, INDEX count) {
    double sum = 0;
    EACH_OF_BLOCK(i, parts) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) loss[0] = sum / count;
}

KERNEL backward(
    const REAL* dist, const REAL* parity, const REAL* loss_grad, REAL* dist_grad, REAL alpha, REAL beta, int ignored,
    INDEX count
) {
    const REAL scale = loss_grad[0] / count;
    EACH(i, count) {
        const int label = (int)parity[i];
        dist_grad[i] = hinge_of(dist[i], label, alpha, beta, ignored) * (label == 0 ? -scale : scale);
    }
}
