# The gateway, the client and the release commands, without TensorFlow. Built from the root of the repository:
#   docker build -f serving/deploy/gateway.Dockerfile -t fedtfx-gateway:local .
FROM python:3.10.18-slim-bookworm AS packages
COPY requirements-gateway.txt /build/requirements-gateway.txt
RUN python -m venv --without-pip /opt/gateway \
    && python -m pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes \
    --prefix /opt/gateway -r /build/requirements-gateway.txt

FROM python:3.10.18-slim-bookworm
RUN groupadd --gid 10001 gateway && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=packages /opt/gateway /opt/gateway
WORKDIR /app
COPY errors.py errors.py
COPY lineage lineage
COPY serving serving
# MALLOC_*: a decoded picture goes back to the system at once; without these twice the memory stays with the process.
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_MMAP_THRESHOLD_=262144 MALLOC_ARENA_MAX=2
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "serving"]
CMD ["gateway", "--host=0.0.0.0", "--port=8080"]
