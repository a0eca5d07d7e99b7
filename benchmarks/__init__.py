"""What Holdfast's speed is measured with: `make bench` (docs/benchmarks.md). Figures are ratios within one run."""
