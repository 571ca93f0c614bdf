# Every target sets up .venv first; nothing is done twice.
# PYTHON: any Python from 3.11. TORCH_ARGS: pip arguments for torch alone, such as --index-url with
# PyTorch's index of CPU builds, where the default index offers only the larger GPU builds.
PYTHON ?= python3.11
TORCH_ARGS ?=

BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check bench-net bench-codec bench-tasks bench-processes bench-memory bench-device bench-peers bench-speed bench-scale reach format setup

demo: $(READY)
	$(BIN)/actpress compress --model actpress.zoo:resnet18_fashion_mnist \
		--data fashion-mnist-subset --method cap --budget 8x --steps 120 --out runs/demo --force

test: $(READY)
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-net: $(READY)
	$(BIN)/python -m benchmarks.net

bench-codec: $(READY)
	$(BIN)/python -m benchmarks.mutations
	$(BIN)/python -m benchmarks.codec

bench-tasks: $(READY)
	$(BIN)/python -m benchmarks.tasks

bench-processes: $(READY)
	$(BIN)/python -m benchmarks.processes

bench-memory: $(READY)
	$(BIN)/python -m benchmarks.search_memory

# Needs ACTPRESS_DATA with the cifar10 data, and the tools of emulated boards (docs/export.md).
bench-device: $(READY)
	$(BIN)/python -m benchmarks.device

# Needs the int8 .tflite of MLPerf Tiny's ResNet8 beside ACTPRESS_DATA, and g++; fetches pinned packages.
bench-peers: $(READY)
	$(BIN)/python -m benchmarks.peers

# EARLIER: a checkout of the build that it is compared with, such as git worktree add ../earlier aab34da.
bench-speed: $(READY)
	$(BIN)/python -m benchmarks.speed $(EARLIER)

bench-scale: $(READY)
	$(BIN)/python -m benchmarks.scale

# Other people's networks, in a folder of their own and without what they ask for beside, since that
# would replace torch.
reach: $(READY)
	$(BIN)/python -m pip install --target .reach --no-deps torchvision==0.28.0 timm transformers \
		segmentation-models-pytorch ultralytics ultralytics-thop facenet-pytorch tokenizers \
		huggingface-hub httpx2 httpcore2 truststore regex pyyaml tqdm requests opencv-python-headless
	PYTHONPATH=.reach $(BIN)/python -m benchmarks.reach

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

setup: $(READY)

# torch comes first and pinned: an open range would pull several GB of GPU libraries.
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install $(TORCH_ARGS) -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@

# Debian's python3.11 without python3.11-venv cannot bootstrap pip, but its pip can.
$(BIN)/python:
	$(PYTHON) -m venv .venv || { $(PYTHON) -m venv --clear --without-pip .venv \
		&& $(PYTHON) -m pip --python $@ install pip; }
