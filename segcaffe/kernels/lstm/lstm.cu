// One step in time of an LSTM, on gates (streams, 4 cells) whose products are made already.

__device__ inline REAL sigmoid_of(REAL x) {
    const REAL e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

// out = cont * x, row by row.
KERNEL scale_rows(const REAL* x, const REAL* cont, REAL* out, INDEX cells, INDEX count) {
    EACH(i, count) out[i] = cont[i / cells] * x[i];
}

KERNEL step(const REAL* cont, const REAL* before, REAL* gates, REAL* cell, REAL* hidden, INDEX cells, INDEX count) {
    EACH(k, count) {
        REAL* z = gates + k / cells * 4 * cells + k % cells;
        const REAL i = sigmoid_of(z[0]), f = sigmoid_of(z[cells]), o = sigmoid_of(z[2 * cells]);
        const REAL g = tanh(z[3 * cells]);
        const REAL c = cont[k / cells] * f * before[k] + i * g;
        z[0] = i;
        z[cells] = f;
        z[2 * cells] = o;
        z[3 * cells] = g;
        cell[k] = c;
        hidden[k] = o * tanh(c);
    }
}

// later is the gradient of h through the next step (null at the last), times next_cont; grad_cell goes from after the
// step to before it.
KERNEL step_backward(
    const REAL* cont, const REAL* next_cont, const REAL* gates, const REAL* before, const REAL* cell,
    const REAL* grad_hidden, const REAL* later, REAL* grad_cell, REAL* grad_gates, INDEX cells, INDEX count
) {
    EACH(k, count) {
        const INDEX n = k / cells;
        const REAL* z = gates + n * 4 * cells + k % cells;
        REAL* to = grad_gates + n * 4 * cells + k % cells;
        const REAL i = z[0], f = z[cells], o = z[2 * cells], g = z[3 * cells], t = tanh(cell[k]);
        const REAL dh = grad_hidden[k] + (later ? next_cont[n] * later[k] : 0);
        const REAL dc = grad_cell[k] + dh * o * (1 - t * t);
        to[0] = dc * g * i * (1 - i);
        to[cells] = cont[n] * dc * before[k] * f * (1 - f);
        to[2 * cells] = dh * t * o * (1 - o);
        to[3 * cells] = dc * i * (1 - g * g);
        grad_cell[k] = dc * cont[n] * f;
    }
}
