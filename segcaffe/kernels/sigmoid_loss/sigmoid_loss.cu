// Cross entropy of sigmoid(x) with targets in [0, 1].

KERNEL partial_sums(const REAL* x, const REAL* target, long long ignore, double* partial, INDEX count) {
    double loss = 0, counted = 0;
    EACH(i, count) {
        if ((long long)target[i] == ignore) continue;
        const REAL value = x[i];
        loss += (value < 0 ? 0 : value) - value * target[i] + log1p(exp(-fabs(value)));
        counted += 1;
    }
    loss = block_sum(loss);
    counted = block_sum(counted);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = loss;
        partial[gridDim.x + blockIdx.x] = counted;
    }
}

KERNEL add_partial_sums(const double* partial, int parts, double* totals) {
    double loss = 0, counted = 0;
    EACH_OF_BLOCK(i, parts) {
        loss += partial[i];
        counted += partial[parts + i];
    }
    loss = block_sum(loss);
    counted = block_sum(counted);
    if (threadIdx.x == 0) {
        totals[0] = loss;
        totals[1] = counted;
    }
}

KERNEL backward(const REAL* x, const REAL* target, long long ignore, REAL scale, REAL* out, INDEX count) {
    EACH(i, count) {
        const REAL e = exp(-fabs(x[i]));
        const REAL s = x[i] >= 0 ? 1 / (1 + e) : e / (1 + e);
        out[i] = (long long)target[i] == ignore ? 0 : scale * (s - target[i]);
    }
}
