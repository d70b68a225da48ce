# onegather on the CPU, with what it needs to train, sample, plot and measure, and to be built again.
#   docker build -f docker/cpu.Dockerfile -t onegather:cpu .
#   docker run --rm -it -v "$PWD/runs:/work/runs" onegather:cpu launch/quickstart.sh
#   docker run --rm onegather:cpu build/onegather doctor
# BASE: Debian 12 or newer, or Ubuntu 22.04 or newer.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
# What it is built from goes in first: a change of the code does not install the packages again.
WORKDIR /work
COPY launch/install.sh launch/install.sh
RUN launch/install.sh && rm -rf /var/lib/apt/lists/*
COPY . .
RUN launch/build.sh && build/onegather --version
# Open MPI refuses to run as root, and a run's files should be the user's.
RUN useradd --create-home onegather && chown -R onegather /work
USER onegather
# Containers without ptrace rights cannot copy between processes directly.
ENV OMPI_MCA_btl_vader_single_copy_mechanism=none
CMD ["build/onegather", "doctor"]
