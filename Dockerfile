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
COPY --from=builder /imcast /usr/local/bin/imcast
# imcast.toml is read here if it is mounted, and batches are kept here: mount a volume to keep them.
COPY --from=builder --chown=nonroot:nonroot /data /var/lib/imcast
WORKDIR /var/lib/imcast
VOLUME /var/lib/imcast
USER nonroot:nonroot
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
