// Activation functions; an output may be the very array that is an input.

// slope * x + shift, at least 0 and at most 1.
__device__ inline REAL ramp(REAL x, REAL slope, REAL shift) {
    const REAL value = slope * x + shift;
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

__device__ inline bool rises(REAL x, REAL slope, REAL shift) {
    const REAL value = slope * x + shift;
    return value > 0 && value < 1;
}

KERNEL scaled_elu(const REAL* x, REAL above, REAL below, REAL* y, INDEX count) {
    EACH(i, count) y[i] = x[i] > 0 ? above * x[i] : below * expm1(x[i]);
}

KERNEL scaled_elu_grad(const REAL* x, const REAL* dy, REAL above, REAL below, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = x[i] > 0 ? above * dy[i] : below * dy[i] * exp(x[i]);
}

// With e = e^x, tanh(ln(1 + e)) is (e^2 + 2e) / (e^2 + 2e + 2); from 20 on it is 1.
KERNEL mish(const REAL* x, REAL* y, INDEX count) {
    EACH(i, count) {
        const REAL e = exp(x[i] < 20 ? x[i] : (REAL)20), product = e * (e + 2);
        y[i] = x[i] * (product / (product + 2));
    }
}

KERNEL mish_grad(const REAL* x, const REAL* dy, REAL* dx, INDEX count) {
    EACH(i, count) {
        const REAL e = exp(x[i] < 20 ? x[i] : (REAL)20), product = e * (e + 2);
        const REAL root = 2 * (1 + e) / (product + 2);
        dx[i] = dy[i] * (product / (product + 2) + x[i] * (e / (1 + e)) * root * root);
    }
}

KERNEL hard_sigmoid(const REAL* x, REAL slope, REAL shift, REAL* y, INDEX count) {
    EACH(i, count) y[i] = ramp(x[i], slope, shift);
}

KERNEL hard_sigmoid_grad(const REAL* x, const REAL* dy, REAL slope, REAL shift, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = rises(x[i], slope, shift) ? slope * dy[i] : 0;
}

KERNEL hard_swish(const REAL* x, REAL slope, REAL shift, REAL* y, INDEX count) {
    EACH(i, count) y[i] = x[i] * ramp(x[i], slope, shift);
}

KERNEL hard_swish_grad(const REAL* x, const REAL* dy, REAL slope, REAL shift, REAL* dx, INDEX count) {
    EACH(i, count) {
        dx[i] = dy[i] * (ramp(x[i], slope, shift) + (rises(x[i], slope, shift) ? slope * x[i] : 0));
    }
}
