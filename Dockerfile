# Tracewarden's roles in one image: `docker build -t tracewarden .`
# With the models of the role analyze (6 GB): `docker build -t tracewarden-models --build-arg EXTRA=models .`
FROM python:3.11-slim-bookworm AS build
ARG EXTRA=""
WORKDIR /src
RUN python -m venv /opt/tracewarden
COPY pyproject.toml requirements.lock README.md ./
COPY schemas schemas
COPY storage storage
COPY ingest ingest
COPY analyzers analyzers
COPY alerting alerting
COPY api api
# The lock also pins what development needs; as constraints it decides versions and adds nothing.
RUN /opt/tracewarden/bin/pip install --no-cache-dir --disable-pip-version-check --constraint requirements.lock ".${EXTRA:+[$EXTRA]}"

FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 tracewarden \
 && useradd --system --uid 10001 --gid tracewarden --no-create-home --home-dir /nonexistent tracewarden \
 && install -d -o tracewarden -g tracewarden -m 0700 /var/lib/tracewarden
COPY --from=build /opt/tracewarden /opt/tracewarden
ENV PATH=/opt/tracewarden/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TRACEWARDEN_DATA_DIR=/var/lib/tracewarden \
    TRACEWARDEN_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/tracewarden
VOLUME /var/lib/tracewarden
EXPOSE 8080 4318 4317
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["tracewarden"]
CMD ["serve"]
