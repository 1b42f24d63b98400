// Parameter updates: one pass over weight, gradient and histories. The update is left in the gradient.

__device__ inline REAL regularized(REAL g, REAL w, REAL scale, REAL l2, REAL l1) {
    return g * scale + l2 * w + l1 * (w > 0 ? 1 : w < 0 ? -1 : 0);
}

KERNEL sgd(
    REAL* weight, REAL* grad, REAL* history, REAL rate, REAL scale, REAL l2, REAL l1, REAL momentum, INDEX count
) {
    EACH(i, count) {
        const REAL h = rate * regularized(grad[i], weight[i], scale, l2, l1) + momentum * history[i];
        history[i] = h;
        grad[i] = h;
        weight[i] -= h;
    }
}

KERNEL nesterov(
    REAL* weight, REAL* grad, REAL* history, REAL rate, REAL scale, REAL l2, REAL l1, REAL momentum, REAL ahead,
    INDEX count
) {
    EACH(i, count) {
        const REAL old = history[i];
        const REAL h = rate * regularized(grad[i], weight[i], scale, l2, l1) + momentum * old;
        const REAL u = ahead * h - momentum * old;
        history[i] = h;
        grad[i] = u;
        weight[i] -= u;
    }
}

// AdaGrad (keep = add = 1) and RMSProp.
KERNEL root_mean(
    REAL* weight, REAL* grad, REAL* history, REAL rate, REAL scale, REAL l2, REAL l1, REAL keep, REAL add, REAL delta,
    INDEX count
) {
    EACH(i, count) {
        const REAL g = regularized(grad[i], weight[i], scale, l2, l1);
        const REAL h = add * (g * g) + keep * history[i];
        const REAL u = rate * (g / (sqrt(h) + delta));
        history[i] = h;
        grad[i] = u;
        weight[i] -= u;
    }
}

KERNEL ada_delta(
    REAL* weight, REAL* grad, REAL* history, REAL* updates, REAL rate, REAL scale, REAL l2, REAL l1, REAL keep,
    REAL add, REAL delta, INDEX count
) {
    EACH(i, count) {
        const REAL g = regularized(grad[i], weight[i], scale, l2, l1);
        const REAL h = add * (g * g) + keep * history[i];
        const REAL v = g * sqrt((updates[i] + delta) / (h + delta));
        history[i] = h;
        updates[i] = add * (v * v) + keep * updates[i];
        grad[i] = rate * v;
        weight[i] -= rate * v;
    }
}

KERNEL adam(
    REAL* weight, REAL* grad, REAL* mean, REAL* square, REAL rate, REAL scale, REAL l2, REAL l1, REAL keep1, REAL add1,
    REAL keep2, REAL add2, REAL delta, INDEX count
) {
    EACH(i, count) {
        const REAL g = regularized(grad[i], weight[i], scale, l2, l1);
        const REAL m = add1 * g + keep1 * mean[i];
        const REAL v = add2 * (g * g) + keep2 * square[i];
        const REAL u = rate * (m / (sqrt(v) + delta));
        mean[i] = m;
        square[i] = v;
        grad[i] = u;
        weight[i] -= u;
    }
}
