"""Korean for every sentence of a plan. A test holds that none is missing and that the same names are filled in."""

KOREAN: dict[str, str] = {}
