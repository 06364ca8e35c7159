# syntax=docker/dockerfile:1
# The dashboard, the optimised binary with the dashboard in it, and a small image that
# holds only that binary and runs it without rights.

FROM node:20-bookworm-slim AS dashboard
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY dashboard/ ./
RUN npm run build

FROM rust:1.95-bookworm AS binary
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake libssl-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=dashboard /src/dashboard/dist dashboard/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin citypulse \
    && cp target/release/citypulse /citypulse

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/citypulse citypulse
COPY --from=binary /citypulse /usr/local/bin/citypulse
USER citypulse
WORKDIR /var/lib/citypulse
ENV CITYPULSE_SERVER__HOST=0.0.0.0
EXPOSE 8000
VOLUME /var/lib/citypulse
ENTRYPOINT ["citypulse"]
CMD ["up"]
