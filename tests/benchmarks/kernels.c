/* What the machine can do: each job's arithmetic, and reading and writing its bytes, no more. */

enum { LANES = 64 };

void fill_bytes(float *out, long n, float value) {
#pragma omp parallel for simd
    for (long i = 0; i < n; i++) out[i] = value;
}

void copy_bytes(float *out, const float *x, long n) {
#pragma omp parallel for simd
    for (long i = 0; i < n; i++) out[i] = x[i] + 1;
}

void read_bytes(float *out, const float *x, long n, long times) {
    for (long k = 0; k < times; k++) {
        float sum = 0;
#pragma omp parallel for simd reduction(+ : sum)
        for (long i = 0; i < n; i++) sum += x[i];
        *out = sum;
    }
}

/* The last points of descents on <x, H x> / 2, H = (p, q; q, r): rules x starts, LANES at once. */
void sweep(float *out, const float *starts, const float *step_sizes, long runs, long rules,
           long steps, float p, float q, float r) {
#pragma omp parallel for collapse(2)
    for (long i = 0; i < rules; i++)
        for (long j = 0; j < runs; j += LANES) {
            float x[LANES] = {0}, y[LANES] = {0}, eta = step_sizes[i];
            long here = runs - j < LANES ? runs - j : LANES;
            for (long k = 0; k < here; k++) x[k] = starts[2 * (j + k)], y[k] = starts[2 * (j + k) + 1];
            for (long s = 0; s < steps; s++)
#pragma omp simd
                for (int k = 0; k < LANES; k++) {
                    float along = p * x[k] + q * y[k], across = q * x[k] + r * y[k];
                    x[k] -= eta * along, y[k] -= eta * across;
                }
            float *to = out + 2 * (i * runs + j);
            for (long k = 0; k < here; k++) to[2 * k] = x[k], to[2 * k + 1] = y[k];
        }
}

/* Every point of descent on mean((X x - y)^2); the columns of X are rows here, so that all is in the
   cache and in order; r is scratch. */
void least_squares(float *out, const float *columns, const float *y, float *r, long n, long d,
                   long steps, float eta) {
    for (long j = 0; j < d; j++) out[j] = 0;
    for (long k = 0; k < steps; k++, out += d) {
#pragma omp simd
        for (long i = 0; i < n; i++) r[i] = -y[i];
        for (long j = 0; j < d; j++)
#pragma omp simd
            for (long i = 0; i < n; i++) r[i] += columns[j * n + i] * out[j];
        for (long j = 0; j < d; j++) {
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (long i = 0; i < n; i++) sum += columns[j * n + i] * r[i];
            out[d + j] = out[j] - eta * 2 / n * sum;
        }
    }
}

/* One epoch of single examples, in the order of the rows: x -= eta 2 (<a, x> - b) a. */
void epoch(float *x, const float *X, const float *y, long n, long d, float eta) {
    for (long j = 0; j < d; j++) x[j] = 0;
    for (long i = 0; i < n; i++, X += d) {
        float sum = -y[i];
#pragma omp simd reduction(+ : sum)
        for (long j = 0; j < d; j++) sum += X[j] * x[j];
#pragma omp simd
        for (long j = 0; j < d; j++) x[j] -= 2 * eta * sum * X[j];
    }
}
