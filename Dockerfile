# precis as a container:
#   docker build -t precis .
#   docker run -v "$PWD:/work" precis train --config my.json
# With CUDA, on a base that has its toolkit and a torch wheel built for it (Python and apt must be there):
#   docker build -t precis-cuda --build-arg BASE=nvidia/cuda:12.8.1-devel-ubuntu24.04 --build-arg TORCH_VERSION=2.11.0 .
#   docker run --gpus all ...
ARG BASE=debian:bookworm

FROM ${BASE} AS build
ARG TORCH_VERSION=2.13.0
ENV DEBIAN_FRONTEND=noninteractive PRECIS_TORCH_VERSION=${TORCH_VERSION}
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /precis
COPY . .
RUN ./scripts/setup.sh \
  && cmake --preset release -DPRECIS_BUILD_TESTS=OFF -DPRECIS_BUNDLE_LIBTORCH=ON \
  && cmake --build build/release \
  && cd build/release && cpack && mkdir /package && mv ./*.deb /package/

FROM ${BASE}
COPY --from=build /package /package
RUN apt-get update && apt-get install -y --no-install-recommends /package/*.deb && rm -rf /package /var/lib/apt/lists/*
WORKDIR /work
ENTRYPOINT ["precis"]
CMD ["--help"]
