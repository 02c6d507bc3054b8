# CPU by default. For a GPU: docker build --build-arg TORCH_INDEX=<index of CUDA wheels> .
FROM python:3.11-slim-bookworm

ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# make is for the README's commands; the corpus comes as Debian packages through apt-get download.
RUN apt-get update && apt-get install -y --no-install-recommends make \
    && useradd --create-home --uid 1000 asr

WORKDIR /home/asr/asr-tv
COPY --chown=asr:asr . .
RUN chown asr:asr .
USER asr

# Every package but torch is checked against the sha256 in requirements.lock. The files of torch differ between kinds of
# machines: it is pinned by version in constraints.txt, and the packages that only its build needs come with it.
RUN mkdir .store runs /home/asr/.prefect \
    && python3 -m venv .venv \
    && .venv/bin/pip install --require-hashes --no-deps --requirement requirements-build.lock \
    && .venv/bin/pip install --require-hashes --no-deps --no-build-isolation --requirement requirements.lock \
    && .venv/bin/pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
    && .venv/bin/pip install --no-deps --no-build-isolation --editable . \
    && .venv/bin/pip check \
    && touch .venv/.demo

ENV PATH="/home/asr/asr-tv/.venv/bin:$PATH"
VOLUME ["/home/asr/asr-tv/.store", "/home/asr/asr-tv/runs"]
ENTRYPOINT ["asr-tv"]
CMD ["adapt", "configs/demo.yaml"]
