"""Numbers in words, as the explainer and the demo write them."""

__all__ = ["amount", "money", "points"]


def amount(number: int, unit: str) -> str:
    """Return a number with its unit as people write it: 7000 k€ as 7.0 M€, 320 ‰ as 32.0 %."""
    match unit:
        case "k€":
            return money(number)
        case "‰":
            return f"{_tenths(number, 1).removesuffix('.0')} %"
        case _:
            return f"{number} {unit}".rstrip()


def money(thousands: int) -> str:
    """Return thousands of euros in millions, rounded to the nearest tenth."""
    return f"{_tenths(thousands, 100)} M€"


def points(ten_thousandths: int) -> str:
    """Return points, rounded to the nearest tenth."""
    return _tenths(ten_thousandths, 1000)


def _tenths(number: int, per_tenth: int) -> str:
    sign = "-" if number < 0 else ""
    tenths = (abs(number) + per_tenth // 2) // per_tenth
    return f"{sign}{tenths // 10}.{tenths % 10}"
