// Maps from arrays to an array of the same shape; an output may be the very array that is an input.

// 1 / (1 + e^-x) without overflow.
__device__ inline REAL logistic(REAL x) {
    const REAL e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

// Every bit of 32 influences every other (a two-multiplication integer hash).
__device__ inline unsigned mix(unsigned bits) {
    bits ^= bits >> 16;
    bits *= 0x7FEB352Du;
    bits ^= bits >> 15;
    bits *= 0x846CA68Bu;
    return bits ^ bits >> 16;
}

KERNEL linear(const REAL* x, REAL scale, REAL shift, REAL* y, INDEX count) {
    EACH(i, count) y[i] = scale * x[i] + shift;
}

KERNEL linear_multiply(const REAL* x, const REAL* dy, REAL scale, REAL shift, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = dy[i] * (scale * x[i] + shift);
}

KERNEL combine(const REAL* a, REAL scale_a, const REAL* b, REAL scale_b, REAL* y, INDEX count) {
    EACH(i, count) y[i] = scale_a * a[i] + scale_b * b[i];
}

KERNEL multiply(const REAL* a, const REAL* b, REAL scale, REAL* y, INDEX count) {
    EACH(i, count) y[i] = scale * a[i] * b[i];
}

KERNEL multiply_sign(const REAL* a, const REAL* x, REAL scale, REAL* y, INDEX count) {
    EACH(i, count) {
        const REAL v = scale * a[i];
        y[i] = x[i] > 0 ? v : x[i] < 0 ? -v : 0;
    }
}

KERNEL divide_multiply(const REAL* a, const REAL* b, const REAL* c, REAL* y, INDEX count) {
    EACH(i, count) y[i] = a[i] / b[i] * c[i];
}

template <class M> __device__ void take_maximum(const REAL* a, const REAL* b, int index, REAL* y, M* mask, INDEX count) {
    EACH(i, count) {
        const REAL left = a[i], right = b[i];
        if (index == 1) {
            mask[i] = left > right ? 0 : 1;
            y[i] = left > right ? left : right;
        } else {
            if (right > left) mask[i] = index;
            y[i] = right > left ? right : left;
        }
    }
}

KERNEL maximum(const REAL* a, const REAL* b, int index, REAL* y, unsigned char* mask, INDEX count) {
    take_maximum(a, b, index, y, mask, count);
}

KERNEL maximum_of_many(const REAL* a, const REAL* b, int index, REAL* y, int* mask, INDEX count) {
    take_maximum(a, b, index, y, mask, count);
}

KERNEL select(const REAL* a, const unsigned char* mask, int index, REAL* y, INDEX count) {
    EACH(i, count) y[i] = mask[i] == index ? a[i] : 0;
}

KERNEL select_of_many(const REAL* a, const int* mask, int index, REAL* y, INDEX count) {
    EACH(i, count) y[i] = mask[i] == index ? a[i] : 0;
}

KERNEL absolute(const REAL* x, REAL* y, INDEX count) {
    EACH(i, count) y[i] = fabs(x[i]);
}

KERNEL relu(const REAL* x, REAL slope, REAL* y, INDEX count) {
    // Not slope * x with a slope of 0: that would be NaN for minus infinity. A NaN stays one.
    EACH(i, count) {
        const REAL v = x[i];
        y[i] = v > 0 ? v : slope != 0 ? slope * v : v <= 0 ? 0 : v;
    }
}

KERNEL relu_grad(const REAL* x, const REAL* dy, REAL slope, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
}

KERNEL elu(const REAL* x, REAL alpha, REAL* y, INDEX count) {
    EACH(i, count) y[i] = x[i] > 0 ? x[i] : alpha * expm1(x[i]);
}

KERNEL elu_grad(const REAL* x, const REAL* dy, REAL alpha, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = x[i] > 0 ? dy[i] : dy[i] * alpha * exp(x[i]);
}

KERNEL exponential(const REAL* x, REAL inner, REAL outer, REAL* y, INDEX count) {
    EACH(i, count) y[i] = outer * exp(inner * x[i]);
}

KERNEL logarithm(const REAL* x, REAL scale, REAL shift, REAL outer, REAL* y, INDEX count) {
    EACH(i, count) y[i] = outer * log(scale * x[i] + shift);
}

KERNEL reciprocal_grad(const REAL* x, const REAL* dy, REAL scale, REAL shift, REAL outer, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = outer * dy[i] / (scale * x[i] + shift);
}

KERNEL power(const REAL* x, REAL scale, REAL shift, REAL exponent, REAL* y, INDEX count) {
    EACH(i, count) {
        const REAL v = scale * x[i] + shift;
        y[i] = exponent == 2 ? v * v : exponent == 3 ? v * v * v : pow(v, exponent);
    }
}

KERNEL sigmoid(const REAL* x, REAL* y, INDEX count) {
    EACH(i, count) y[i] = logistic(x[i]);
}

KERNEL sigmoid_grad(const REAL* y, const REAL* dy, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = dy[i] * y[i] * (1 - y[i]);
}

KERNEL hyperbolic(const REAL* x, REAL* y, INDEX count) {
    EACH(i, count) y[i] = tanh(x[i]);
}

KERNEL tanh_grad(const REAL* y, const REAL* dy, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = dy[i] * (1 - y[i] * y[i]);
}

KERNEL swish(const REAL* x, REAL beta, REAL* y, INDEX count) {
    EACH(i, count) y[i] = x[i] * logistic(beta * x[i]);
}

KERNEL swish_grad(const REAL* x, const REAL* dy, REAL beta, REAL* dx, INDEX count) {
    EACH(i, count) {
        const REAL v = beta * x[i], s = logistic(v);
        dx[i] = dy[i] * (s + v * s * (1 - s));
    }
}

KERNEL softplus(const REAL* x, REAL* y, INDEX count) {
    EACH(i, count) {
        const REAL v = x[i];
        y[i] = (v < 0 ? 0 : v) + log1p(exp(-fabs(v)));
    }
}

KERNEL softplus_grad(const REAL* x, const REAL* dy, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = dy[i] * logistic(x[i]);
}

KERNEL clip(const REAL* x, REAL low, REAL high, REAL* y, INDEX count) {
    EACH(i, count) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

KERNEL clip_grad(const REAL* x, const REAL* dy, REAL low, REAL high, REAL* dx, INDEX count) {
    EACH(i, count) dx[i] = x[i] >= low && x[i] <= high ? dy[i] : 0;
}

KERNEL threshold(const REAL* x, REAL limit, REAL* y, INDEX count) {
    EACH(i, count) y[i] = x[i] > limit ? 1 : 0;
}

KERNEL dropout(const REAL* x, unsigned low, unsigned high, unsigned limit, REAL scale, REAL* y, INDEX count) {
    EACH(i, count) y[i] = mix(mix((unsigned)i ^ low) + high) >= limit ? x[i] * scale : 0;
}
