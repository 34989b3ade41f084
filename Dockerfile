# The programs of Squeal in one image: squeal, squeal-router, squeal-cache, squeal-audit and whatever else the
# Debian package has.  The service says which of them it runs.
#
#   docker build --build-arg VERSION="$(cat VERSION)" -t squeal:"$(cat VERSION)" .
#
# The packages that a build needs are those of packages.txt, the libraries that the programs need are those that the
# Debian package depends on: no list of either stands here.  To pin the base by its digest as well as its tag, replace
# the value of DEBIAN by what `docker buildx imagetools inspect debian:12.12-slim` says: debian:12.12-slim@sha256:…
ARG DEBIAN=debian:12.12-slim

FROM ${DEBIAN} AS builder
WORKDIR /src
# Alone, so that a change of the sources does not fetch the packages again.
COPY packages.txt ./
COPY integration/packages integration/
RUN integration/packages build deb
COPY . .
ARG VERSION=0.1.0
RUN test "$VERSION" = "$(cat VERSION)" && make -j"$(nproc)" deb

FROM ${DEBIAN} AS squeal
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="squeal" \
      org.opencontainers.image.description="deletes cache keys from memcached when database rows change" \
      org.opencontainers.image.version="${VERSION}"
WORKDIR /install
COPY packages.txt ./
COPY integration/packages integration/
COPY --from=builder /src/build/squeal_*.deb ./
# The accounts have fixed numbers, so that volumes and Kubernetes can name them; the package takes those it finds.
RUN groupadd --system --gid 10001 squeal \
 && useradd --system --uid 10001 --gid squeal --home-dir /var/lib/squeal --no-create-home squeal \
 && groupadd --system --gid 10002 squeal-cache \
 && useradd --system --uid 10002 --gid squeal-cache --home-dir /var/lib/squeal-cache --no-create-home squeal-cache \
 && integration/packages image \
 && apt-get update -q \
 && apt-get install -q -y --no-install-recommends ./squeal_*.deb \
 && rm -rf /var/lib/apt/lists/* /install/* \
 && install -d -o squeal -g squeal -m 750 /var/lib/squeal \
 && install -d -o squeal-cache -g squeal-cache -m 750 /var/lib/squeal-cache
COPY packaging/compose/readyz /usr/local/bin/readyz
# A folder that every account may enter: services run as squeal and as squeal-cache.
WORKDIR /
USER squeal
# 9401 squeal, 9402 squeal-router, 9403 squeal-cache: /metrics /healthz /readyz /status; 11211: the cache.
EXPOSE 9401 9402 9403 11211
# The admin port answers to the name that it was bound by; the service says which it is.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["readyz"]
CMD ["squeal", "run", "-c", "/etc/squeal/squeal.yaml"]
