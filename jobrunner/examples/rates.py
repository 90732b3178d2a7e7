"""A job that needs another service, and often does not get through: what retries are for."""

import asyncio
import json
import random
from typing import Literal

from jobrunner import task
from jobrunner.examples.folder import example_folder

EURO_RATES = {"EUR": 1.0, "USD": 1.16, "GBP": 0.87, "JPY": 179.9}  # units for one euro


@task(
    retry={"attempts": 5, "delay": "1s", "max_delay": "10s", "exceptions": ["ConnectionError"]},
    timeout="30s",
    queue="web",
)
async def fetch_rates(
    base: Literal["EUR", "USD", "GBP"] = "EUR", failures: float = 0.5
) -> dict[str, float]:
    """Fetch exchange rates from a service that is often down, and keep them as JSON.

    `failures` is the chance of an attempt to fail, from 0 to 1. The service is played here.
    """
    print(f"asking for the rates of {base} …")
    rates = await _ask_service(base, failures)
    file = example_folder() / f"rates-{base}.json"
    file.write_text(json.dumps(rates, indent=2), encoding="utf-8")
    print(f"kept {len(rates)} rates in {file}")
    return rates


async def _ask_service(base: str, failures: float) -> dict[str, float]:
    await asyncio.sleep(0.2)  # what an answer takes
    if random.random() < failures:
        raise ConnectionError("the exchange service did not answer")
    return {currency: round(rate / EURO_RATES[base], 4) for currency, rate in EURO_RATES.items()}
