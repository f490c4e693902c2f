# The worker, and the starter for those who start batches from a container too.
#
#     docker build --tag batchmail:0.1.0 .
#     docker build --tag batchmail:0.1.0 --build-arg EXTRAS="--extra tracing" .
#
# Runs as any user, on a read-only file system; settings come from the environment. docs/deploy.md has the rest.

# 3.12 and later run the timers of batches that an early version began in another order, and could not go on with
# them: docs/decisions/0011-a-timer-of-the-workflows-own.md.
ARG PYTHON=3.11.15-slim-trixie
ARG UV=0.12.20

FROM ghcr.io/astral-sh/uv:${UV} AS uv

FROM python:${PYTHON} AS build
ARG EXTRAS=""
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev ${EXTRAS}
COPY LICENSE starter.py worker.py ./
COPY activities activities
COPY batchmail batchmail
COPY workflows workflows
# Whoever runs it cannot write here: what is not compiled now would be compiled at every start. And reads it,
# however strict the checkout's permissions are.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
    starter.py worker.py activities batchmail workflows && \
    chmod -R a+rX .

FROM python:${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="batchmail" \
      org.opencontainers.image.description="Durable bulk email on Temporal: the worker" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BATCH_HEALTH_ADDRESS=127.0.0.1:8086
WORKDIR /app
COPY --from=build /app /app
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "worker.py", "--check"]
# No shell between: SIGTERM reaches the worker, and its slices hand back.
CMD ["python", "worker.py"]
