# Page4D with all its parts, for a machine with an NVIDIA GPU (or none: torch then runs on the CPU).
#   docker build --tag page4d .
#   docker run --rm --gpus all --volume "$PWD:/data" page4d page4d predict /data/clip.mp4 --weights tiny --out /data/result
# torch brings its own CUDA libraries; the host needs the driver and the NVIDIA container toolkit only.
FROM python:3.12-slim-bookworm

# git: the revision goes into every prediction. chromium: the tests of the book's pages. Debian keeps no old versions, so
# pinned ones would end the build some weeks later.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make chromium \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --uid 1000 --create-home page4d
USER 1000
WORKDIR /home/page4d/src
ENV VIRTUAL_ENV=/home/page4d/venv \
    PATH=/home/page4d/venv/bin:$PATH
# uv only resolves and installs; what it installs is pinned by constraints.txt.
# hadolint ignore=DL3013
RUN python -m venv "$VIRTUAL_ENV" && pip install --no-cache-dir uv

# The packages before the sources: a change of the code then costs seconds, not 7 GB.
COPY --chown=page4d pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=page4d page4d/version.py page4d/version.py
RUN uv pip compile --quiet --all-extras --constraint constraints.txt pyproject.toml --output-file /tmp/all.txt \
    && uv pip install --no-cache --requirement /tmp/all.txt
COPY --chown=page4d . .
RUN uv pip install --no-cache --no-deps --editable .

CMD ["page4d", "--help"]
