"""Checks that the core ships for plugins: one suite for any domain, and domains that break the contract.

    from arbitrank.testing import check_domain
    from arbitrank_weather.domain import Weather

    def test_the_domain_fulfils_the_contract():
        check_domain(Weather(), expected_failures={"answers_are_fast": "because it asks a service"})

`parametrize_checks(Weather())` makes a test of each check. `CHECKS` are those that train nothing:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_the_domain_fulfils_the_contract(check: Check) -> None:
        check(Weather())
"""

from arbitrank.testing.checks import ALL_CHECKS, CHECKS, Check, CheckFailed
from arbitrank.testing.findings import Finding
from arbitrank.testing.run import check_domain, parametrize_checks

__all__ = ["ALL_CHECKS", "CHECKS", "Check", "CheckFailed", "Finding", "check_domain", "parametrize_checks"]
