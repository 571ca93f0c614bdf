"""What `benchmarks.tables` runs in the earlier build: its tables for given symbols.

    python tables_child.py FOLDER

FOLDER holds calibration.safetensors, which tables are fitted to, and test.safetensors, which they
are counted on.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import load_file

from actpress.kernels import count_in_contexts

tables_of_site = import_module("actpress.codec.code_tables")  # of the earlier build alone
sizes = import_module("actpress.codec.rate")

FILES = "calibration", "test"


def main(folder: Path) -> None:
    """Print bits per image and bits of tables, as JSON."""
    fitted, counted = (load_file(folder / f"{name}.safetensors") for name in FILES)
    symbol_bits = table_bits = 0.0
    for name in fitted:
        seen, test = (own[name].float() for own in (fitted, counted))
        lowest = int(min(seen.min(), test.min()))
        levels = int(max(seen.max(), test.max())) - lowest + 1
        contexts = tables_of_site.contexts_for(seen, levels)
        counts = [torch.zeros(seen.shape[1], contexts, levels, dtype=torch.int64) for _ in range(2)]
        count_in_contexts(seen, lowest, counts[0])
        count_in_contexts(test, lowest, counts[1])
        tables, _ = tables_of_site.fit_code_tables(counts[0])
        lengths = tables.code_lengths_bits()
        if lengths.shape[1] == 1:
            counts[1] = counts[1].sum(1, keepdim=True)
        symbol_bits += float((counts[1] * lengths).sum()) / len(test)
        table_bits += sizes.TABLE_ENTRY_BITS * int((tables.widths() + 2).sum())
        if len(tables.counts) > 1:
            table_bits += sizes.TABLE_NAME_BITS * tables.table_of.numel()
    print(json.dumps({"symbol_bits": symbol_bits, "table_bits": table_bits}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
