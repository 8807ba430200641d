"""Tests that the core ships for plugins: one suite of checks for any domain, and domains that break the contract.

A plugin calls the suite in five lines:

    import pytest
    from arbitrank.testing import CHECKS, Check
    from arbitrank_weather.domain import Weather

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_the_domain_fulfils_the_contract(check: Check) -> None:
        check(Weather())
"""

from arbitrank.testing.checks import CHECKS, Check, CheckFailed

__all__ = ["CHECKS", "Check", "CheckFailed"]
