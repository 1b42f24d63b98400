// The permutohedral lattice: each point's simplex, and the filter on its vertices.
//
// A vertex is known by D whole coordinates. They are packed into one 64-bit number in a mixed radix, so that vertices
// are numbered by sorting and found by bisection: the same numbers on every run.

#define MOST 16  // coordinates of a vertex, at most

// Each point's vertices (points, dims + 1, dims), and its weights on them (points, dims + 1). In float32, as the
// reference implementations, so that a point on the border of two simplices falls to the same one.
KERNEL enclose(const float* features, const float* scale, int* keys, REAL* weights, int dims, INDEX points) {
    EACH(p, points) {
        float elevated[MOST + 1], corner[MOST + 1], coordinates[MOST + 2];
        int rank[MOST + 1];
        const float side = dims + 1, inverse = 1.0f / side;
        float total = 0;
        for (int j = dims; j > 0; --j) {
            // Not fused with the sums, which would round elsewhere than on the CPU.
            const float step = __fmul_rn(features[p * dims + j - 1], scale[j - 1]);
            elevated[j] = total - __fmul_rn(j, step);
            total += step;
        }
        elevated[0] = total;
        int shift = 0;
        for (int i = 0; i <= dims; ++i) {
            const float multiple = rintf(elevated[i] * inverse);
            corner[i] = multiple * side;
            shift += (int)multiple;
            rank[i] = 0;
        }
        for (int i = 0; i < dims; ++i) {
            for (int j = i + 1; j <= dims; ++j) {
                if (elevated[i] - corner[i] < elevated[j] - corner[j]) ++rank[i];
                else ++rank[j];
            }
        }
        // Rounding each coordinate by itself may leave the hyperplane: those rounded furthest go back by one step.
        for (int i = 0; i <= dims; ++i) {
            rank[i] += shift;
            if (rank[i] < 0) {
                rank[i] += dims + 1;
                corner[i] += side;
            } else if (rank[i] > dims) {
                rank[i] -= dims + 1;
                corner[i] -= side;
            }
        }
        for (int i = 0; i <= dims + 1; ++i) coordinates[i] = 0;
        for (int i = 0; i <= dims; ++i) {
            const float v = (elevated[i] - corner[i]) * inverse;
            coordinates[dims - rank[i]] += v;
            coordinates[dims + 1 - rank[i]] -= v;
        }
        coordinates[0] += 1.0f + coordinates[dims + 1];
        for (int vertex = 0; vertex <= dims; ++vertex) {
            const INDEX row = p * (dims + 1) + vertex;
            for (int i = 0; i < dims; ++i) {
                keys[row * dims + i] = (int)corner[i] + (rank[i] <= dims - vertex ? vertex : vertex - dims - 1);
            }
            weights[row] = coordinates[vertex];
        }
    }
}

// packed = sum over i of (key[i] - low[i]) * radix[i].
KERNEL pack(
    const int* keys, const long long* low, const long long* radix, long long* packed, int dims, INDEX count
) {
    EACH(row, count) {
        long long number = 0;
        for (int i = 0; i < dims; ++i) number += (keys[row * dims + i] - low[i]) * radix[i];
        packed[row] = number;
    }
}

// The number of a vertex, from 1, in a rising table; 0 if it is not there.
__device__ inline int find(const long long* table, INDEX size, long long key) {
    INDEX low = 0, high = size;
    while (low < high) {
        const INDEX middle = low + (high - low) / 2;
        if (table[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low < size && table[low] == key ? (int)low + 1 : 0;
}

// Neighbours (dims + 1, room, 2) of each vertex along each axis: all coordinates one less, or more, but the axis' own,
// which goes the other way by dims. The last coordinate is not stored: it follows from the others.
KERNEL link(
    const long long* table, const long long* radix, int* neighbours, int dims, INDEX room, INDEX vertices, INDEX count
) {
    EACH(i, count) {
        const INDEX v = i % vertices;
        const int axis = i / vertices;
        long long step = 0;
        for (int j = 0; j < dims; ++j) step += j == axis ? -(long long)dims * radix[j] : radix[j];
        neighbours[(axis * room + v) * 2] = find(table, vertices, table[v] - step);
        neighbours[(axis * room + v) * 2 + 1] = find(table, vertices, table[v] + step);
    }
}

// Rows of channels for each vertex, row 0 for none: order holds the (point, corner) pairs sorted by vertex, starts
// where each vertex begins, so that every sum has one order.
KERNEL splat(
    const REAL* values, const REAL* weights, const long long* order, const long long* starts, REAL* lattice,
    INDEX channels, int corners, INDEX count
) {
    EACH(i, count) {
        const INDEX v = i / channels, c = i % channels;
        REAL sum = 0;
        for (long long j = starts[v]; j < starts[v + 1] && v > 0; ++j) {
            sum += weights[order[j]] * values[order[j] / corners * channels + c];
        }
        lattice[i] = sum;
    }
}

KERNEL blur(const REAL* lattice, const int* links, REAL* blurred, INDEX channels, INDEX count) {
    EACH(i, count) {
        const INDEX v = i / channels, c = i % channels;
        const INDEX before = v > 0 ? links[2 * (v - 1)] : 0, after = v > 0 ? links[2 * (v - 1) + 1] : 0;
        blurred[i] = v == 0 ? 0 : lattice[i] + (REAL)0.5 * (lattice[before * channels + c] + lattice[after * channels + c]);
    }
}

KERNEL slice(
    const REAL* lattice, const int* vertices, const REAL* weights, REAL* out, REAL alpha, int corners, INDEX channels,
    INDEX points, INDEX count
) {
    EACH(i, count) {
        const INDEX p = i % points, c = i / points;
        REAL sum = 0;
        for (int j = 0; j < corners; ++j) {
            sum += weights[p * corners + j] * lattice[(INDEX)vertices[p * corners + j] * channels + c];
        }
        out[i] = alpha * sum;
    }
}
