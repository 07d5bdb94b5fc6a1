#!/usr/bin/env python3
"""Prints lines of `precis bench` (files, or standard input) as a Markdown table."""
import fileinput
import json

print("| job | method | batch x context | ratio | dtype | seconds [lowest, highest] | tokens/s | peak MB: total / while running | "
      "10^9 operations | % of matrix peak | % of bandwidth |\n|---|---|---|---|---|---|---|---|---|---|---|")
for line in fileinput.input():
    row = json.loads(line)
    if "error" in row:
        print(f"| {row['job']} | {row['method']} | {row['batch']} x {row['context']} | {row['error']} | | | | | | | |")
        continue
    rate = row.get("decode_tokens_per_s", row["tokens_per_s"])
    running = row["run_peak_rss_mb"]
    print(f"| {row['job']} | {row['method']} | {row['batch']} x {row['context']} | {row['ratio'] or ''} | {row['dtype']} | "
          f"{row['median_s']:.3f} [{row['min_s']:.3f}, {row['max_s']:.3f}] | {rate:.1f} | {row['peak_rss_mb']:.0f} / "
          f"{'' if running is None else format(running, '.0f')} | {row['operations'] / 1e9:.1f} | "
          f"{row['matrix_peak_percent']:.0f} | {row.get('bandwidth_percent', 0):.0f} |")
