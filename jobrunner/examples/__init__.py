"""The Python functions of the example `jobs.yaml`; they write to one folder of their own."""

from jobrunner.examples.rates import fetch_rates
from jobrunner.examples.reports import report_file_types

__all__ = ["fetch_rates", "report_file_types"]
