// The recursive filter of the domain transform. Each pass goes along lines that do not depend on each other: rows
// (a line per image, channel and row) or columns. Lines are cut to each image's own size.
//
// A pass steps from pixel to pixel; x[at] += w (x[previous] - x[at]), the weight being stored at the right or lower
// pixel of the two.

struct Line {
    INDEX first;   // index of the line's first pixel in a plane
    INDEX step;    // from one pixel to the next
    int length;    // pixels that are filtered; 0 outside the image's own size
    INDEX plane;   // index of the plane (image, channel) in the batch
    INDEX image;
};

__device__ inline Line line_of(INDEX i, int down, INDEX channels, int height, int width, const long long* sizes) {
    const int lines = down ? width : height;
    const int at = i % lines;
    const INDEX plane = i / lines, n = plane / channels;
    const int own_height = sizes[2 * n], own_width = sizes[2 * n + 1];
    const bool inside = at < (down ? own_width : own_height);
    return {
        down ? (INDEX)at : (INDEX)at * width, down ? (INDEX)width : 1, !inside ? 0 : down ? own_height : own_width,
        plane, n,
    };
}

// One pass of one iteration; deltas, if not null, keeps the differences that the weights multiply, at the places of
// the weights.
KERNEL pass(
    REAL* image, const REAL* weights, const long long* sizes, REAL* deltas, int down, int back, INDEX channels,
    int height, int width, INDEX lines
) {
    const INDEX pixels = (INDEX)height * width;
    EACH(i, lines) {
        const Line line = line_of(i, down, channels, height, width, sizes);
        REAL* x = image + line.plane * pixels + line.first;
        const REAL* w = weights + line.image * pixels + line.first;
        REAL* d = deltas + line.plane * pixels + line.first;
        for (int k = 1; k < line.length; ++k) {
            const int place = back ? line.length - k : k;
            const int at = back ? place - 1 : place, previous = back ? place : place - 1;
            const REAL delta = x[previous * line.step] - x[at * line.step];
            if (deltas) d[place * line.step] = delta;
            x[at * line.step] += w[place * line.step] * delta;
        }
    }
}

// Gradient of a pass: from that of its result to that of its input, in place. The weights' gradient, one channel's,
// takes the place of the differences.
KERNEL pass_backward(
    REAL* grad, const REAL* weights, const long long* sizes, REAL* deltas, int down, int back, INDEX channels,
    int height, int width, INDEX lines
) {
    const INDEX pixels = (INDEX)height * width;
    EACH(i, lines) {
        const Line line = line_of(i, down, channels, height, width, sizes);
        REAL* g = grad + line.plane * pixels + line.first;
        const REAL* w = weights + line.image * pixels + line.first;
        REAL* d = deltas + line.plane * pixels + line.first;
        for (int k = line.length - 1; k > 0; --k) {
            const int place = back ? line.length - k : k;
            const int at = back ? place - 1 : place, previous = back ? place : place - 1;
            const REAL own = g[at * line.step], share = w[place * line.step] * own;
            d[place * line.step] *= own;
            g[previous * line.step] += share;
            g[at * line.step] -= share;
        }
    }
}

// Sums over channels of one pass's weight gradients (num, channels, height, width), added to weight_grad (num, …).
KERNEL add_channels(const REAL* grads, REAL* weight_grad, INDEX channels, INDEX pixels, INDEX count) {
    EACH(i, count) {
        REAL sum = 0;
        for (INDEX c = 0; c < channels; ++c) sum += grads[(i / pixels * channels + c) * pixels + i % pixels];
        weight_grad[i] += sum;
    }
}
