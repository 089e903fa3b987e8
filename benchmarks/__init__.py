"""What Converge costs, beside plain code and beside what people use today. See README.md; run `make bench`."""
