# An image with segcaffe's command line, for the CPU; see docs/getting-started.md.
#   docker build -t segcaffe .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" segcaffe demo

FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
ARG EXTRAS=plot,lmdb,hdf5
COPY --from=build /wheels /wheels
RUN wheel=$(ls /wheels/*.whl) && pip install --no-cache-dir "$wheel[$EXTRAS]" && rm -r /wheels
# Compiled kernels and matplotlib's fonts are kept here, whoever runs the container.
ENV NUMBA_CACHE_DIR=/cache/numba MPLCONFIGDIR=/cache/matplotlib
RUN mkdir -p /cache/numba /cache/matplotlib && chmod -R a+rwX /cache && useradd --create-home user
USER user
WORKDIR /work
ENTRYPOINT ["segcaffe"]
CMD ["--help"]
