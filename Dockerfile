# The image of the code location. TORCH_INDEX names the package index of a PyTorch build: the one of CPU builds for the CPU stage, the usual one for the GPU's.
FROM python:3.11-slim
ARG TORCH_INDEX
WORKDIR /switchyard
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY requirements.lock requirements-torch.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r requirements-torch.lock
COPY config config
COPY resources resources
COPY training_assets training_assets
COPY routing_assets routing_assets
RUN pip install --no-cache-dir --no-deps . && pip install --no-cache-dir "dagster-cloud==1.13.27" "dagster-k8s==0.29.27" "dagster-postgres==0.29.27"
ENV SWITCHYARD_OUTPUT_DIR=/results OMP_NUM_THREADS=1
