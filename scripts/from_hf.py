#!/usr/bin/env python3
"""Converts a Hugging Face data set to JSON lines, which precis reads by data.fields (docs/data.md).

  scripts/from_hf.py FOLDER --split train --out train.jsonl       a snapshot of the hub, or a folder of save_to_disk
  scripts/from_hf.py a.parquet b.parquet --out train.jsonl.gz     single files

Needs pyarrow. Rows are streamed, so memory in use does not depend on the data set's size.
"""
import argparse
import base64
import datetime
import decimal
import gzip
import json
import math
import os
import pathlib
import re
import sys

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    sys.exit("from_hf.py: pyarrow is missing: pip install pyarrow")


def fail(message):
    sys.exit(f"from_hf.py: {message}")


def split_of(path, folder):
    """The split in a path: data/train-00000-of-00002.parquet, train/data-00000-of-00001.arrow, train.parquet."""
    if path.parent != folder and path.parent.name != "data":
        return path.parent.name
    return re.split(r"-\d{5}-of-\d{5}", path.stem)[0]


def files_of(sources, split):
    """The files to read, in order. A folder with several splits needs --split."""
    files = []
    for source in map(pathlib.Path, sources):
        if source.is_file():
            files.append(source)
            continue
        found = sorted(p for end in ("parquet", "arrow") for p in source.rglob(f"*.{end}") if not p.name.startswith("cache-"))
        if not found:
            fail(f"{source}: no .parquet or .arrow files")
        splits = sorted({split_of(path, source) for path in found})
        if split is None and len(splits) > 1:
            fail(f"{source}: several splits: {', '.join(splits)}; choose one with --split")
        chosen = [path for path in found if split in (None, split_of(path, source))]
        if not chosen:
            fail(f"{source}: no split {split}; found: {', '.join(splits)}")
        files += chosen
    return files


def batches_of(path, columns):
    """Record batches of a parquet file, or of an Arrow file or stream."""
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        unknown = sorted(set(columns or ()) - set(file.schema_arrow.names))
        if unknown:  # pyarrow would leave them out
            fail(f"{path}: no column {', '.join(unknown)}; found: {', '.join(file.schema_arrow.names)}")
        yield from file.iter_batches(batch_size=1024, columns=columns)
        return
    with pa.memory_map(str(path)) as source:
        try:
            reader = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            source.seek(0)
            file = pa.ipc.open_file(source)
            reader = (file.get_batch(i) for i in range(file.num_record_batches))
        for batch in reader:
            yield batch.select(columns) if columns else batch


def plain(value):
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal)):
        return str(value)
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="folders, .parquet or .arrow files")
    parser.add_argument("--out", required=True, help="file to write: .jsonl or .jsonl.gz")
    parser.add_argument("--split", help="split of a folder that has several")
    parser.add_argument("--columns", help="columns to keep, separated by commas; default: all")
    args = parser.parse_args()
    columns = args.columns.split(",") if args.columns else None
    part = f"{args.out}.part"
    rows = 0
    try:
        opener = gzip.open if args.out.endswith(".gz") else open
        with opener(part, "wt", encoding="utf-8") as out:
            for path in files_of(args.sources, args.split):
                try:
                    for batch in batches_of(path, columns):
                        for row in batch.to_pylist():
                            out.write(json.dumps(plain(row), ensure_ascii=False) + "\n")
                            rows += 1
                except (pa.ArrowException, KeyError) as error:
                    fail(f"{path}: {error}")
        os.replace(part, args.out)
    finally:
        if os.path.exists(part):
            os.remove(part)
    print(f"{args.out}: {rows} rows")


if __name__ == "__main__":
    main()
