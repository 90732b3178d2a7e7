"""Durations and sizes as people write them: `90s`, `5m`, `1.5h`, `512M`."""
