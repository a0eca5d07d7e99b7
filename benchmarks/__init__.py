"""What Holdfast's speed is measured with: `make bench`. Figures are ratios to a reference in the same run."""
