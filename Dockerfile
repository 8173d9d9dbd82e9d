# syntax=docker/dockerfile:1

# The builder and the final image are both Debian 12, so that the binary finds the glibc it was linked for.
FROM rust:1.95-bookworm AS builder
WORKDIR /build
# The image's own toolchain is the pinned one; the components that the pin asks for are not needed here.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . .
# The caches outlive a build, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin imcast \
    && cp target/release/imcast /imcast

RUN mkdir /data

# glibc and root certificates, no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
# What the image is, for whoever finds it: docker build --build-arg VERSION=... --build-arg REVISION=$(git rev-parse HEAD).
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="imcast" \
      org.opencontainers.image.description="One HTTP gateway in front of many instant-messaging providers." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=builder /imcast /usr/local/bin/imcast
# Batches are kept here: mount a volume to keep them beyond the container.
COPY --from=builder --chown=nonroot:nonroot /data /var/lib/imcast
WORKDIR /var/lib/imcast
VOLUME /var/lib/imcast
# nonroot; as a number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
# Asks /livez at the configured address; the image has no other program that could.
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/imcast", "health"]
ENTRYPOINT ["/usr/local/bin/imcast"]
# Inside a container loopback is not reachable: set server.insecure = true and server.listen behind a proxy
# that authenticates, or try it with
#   docker run --rm -p 127.0.0.1:8080:8080 imcast serve --sandbox --listen 0.0.0.0:8080
CMD ["serve"]
