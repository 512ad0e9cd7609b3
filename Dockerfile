# Two images: `service`, the default, answers requests; `--target training` makes models.
#
# PyTorch comes as the CPU build, which is published on an index of its own: where pip does not know it, add
# `--build-arg PIP_EXTRA_INDEX_URL=` and its address. `--build-arg TORCH=torch===2.13.0` takes the CUDA build; with two equals
# signs pip would take the CPU build where it knows both.

FROM python:3.11-slim AS base
RUN useradd --uid 10001 --home-dir /tmp --no-create-home tutti && install -d -o tutti -g tutti /models
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app

FROM base AS dependencies
# What says alone which PyTorch: the pin in constraints.txt would let no other version in.
ARG TORCH=torch==2.13.0+cpu
ARG PIP_EXTRA_INDEX_URL
ENV PIP_CACHE_DIR=/var/cache/pip PIP_NO_COMPILE=1 PIP_CONSTRAINT=constraints.txt PIP_PYTHON=/venv/bin/python
COPY pyproject.toml constraints.txt scripts/requirements.py ./
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv --without-pip /venv \
    && sed -i /^torch==/d constraints.txt \
    && python requirements.py >requirements.txt \
    && pip install --requirement requirements.txt "$TORCH"
# What nobody imports at run time: headers, C++ tests and their runners, a quarter of the CPU build. The CUDA build has no tests.
RUN cd /venv/lib/python3.11/site-packages/torch \
    && rm -rf include share test && find bin -type f ! -name torch_shm_manager -delete

FROM dependencies AS training-dependencies
RUN --mount=type=cache,target=/var/cache/pip \
    python requirements.py training >requirements.txt && pip install --requirement requirements.txt

# The loops of group ranking in C. Python's headers come with the base image, or from Debian where its Python does.
FROM base AS compiled
ENV PIP_CACHE_DIR=/var/cache/pip
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv /build && /build/bin/pip install --constraint constraints.txt setuptools
COPY service/core/_compiled.c service/core/_products.h service/core/
RUN /build/bin/python -c "import setuptools; setuptools.setup()" build_ext --inplace && ls service/core/_compiled.abi3.so

FROM base AS training
COPY --from=training-dependencies /venv /venv
COPY service service
COPY --from=compiled /app/service/core/_compiled.abi3.so service/core/
COPY training training
COPY scripts/sample-models /usr/local/bin/
USER tutti
ENV NUMBA_CACHE_DIR=/tmp/numba PYTHONPYCACHEPREFIX=/tmp/pycache
CMD ["sample-models", "/tmp/data", "/models"]

# Bytecode of what is imported and of nothing else: a fast start from a read-only disk, 140 MB less than all of it.
FROM dependencies AS service-dependencies
RUN python -c "import fastapi.middleware.cors, fastapi.staticfiles, prometheus_client.multiprocess, pydantic_settings, \
    safetensors.numpy, torch, uvicorn.loops.uvloop, uvicorn.protocols.http.httptools_impl"

FROM base AS service
COPY --from=service-dependencies /venv /venv
COPY service service
COPY --from=compiled /app/service/core/_compiled.abi3.so service/core/
RUN python -m compileall -q service
COPY experiments.toml .
USER tutti
ENV SERVICE_HOST=0.0.0.0 SERVICE_PORT=8000 SERVICE_MODELS=/models
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["python", "-c", \
    "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"SERVICE_PORT\") or 8000}/health/ready')"]
CMD ["python", "-m", "service"]
