"""Tables that fit the terminal: columns become narrower, then leave, by importance. Pure.

No lines are drawn: blanks separate as well, and a pipe gets the same text.
"""

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from jobrunner.cli.foreign import one_line

GAP = 2  # blanks between columns
HEADER_STYLE = "bold"

Cell = Text | str


class Column(msgspec.Struct, frozen=True):
    """One column. Rank 0 is the most important; `least` is how narrow it may become, in cells."""

    title: str
    rank: int = 0
    least: int = 0  # 0: never narrower than its widest cell
    is_number: bool = False


def fitted_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Table:
    """The rows with the columns that fit into `width` cells; what is cut ends with `…`."""
    rows = [[_shown(cell) for cell in row] for row in rows]
    cells = list(zip(*rows, strict=True))
    natural = [_widest(column, cells[index]) for index, column in enumerate(columns)]
    widths = fitted_widths(columns, natural, width)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style=HEADER_STYLE)
    for index, room in widths.items():
        table.add_column(
            columns[index].title,
            justify="right" if columns[index].is_number else "left",
            width=room,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(row[index] for index in widths))
    return table


def _shown(cell: Cell) -> Cell:
    """The cell as it may be measured and printed: one line, harmless."""
    if isinstance(cell, str):
        return one_line(cell)
    return cell if cell.plain.isprintable() else Text(one_line(cell.plain), style=cell.style)


def fitted_widths(columns: Sequence[Column], natural: Sequence[int], width: int) -> dict[int, int]:
    """Index -> width of the columns that stay, in their order."""
    least = [min(column.least or wish, wish) for column, wish in zip(columns, natural, strict=True)]
    by_rank = sorted(range(len(columns)), key=lambda index: columns[index].rank)
    while len(by_rank) > 1 and _sum(least, by_rank) > width:
        by_rank.pop()
    widths = {index: natural[index] for index in sorted(by_rank)}
    for index in reversed(by_rank):
        excess = _sum(natural, by_rank) - sum(natural[i] - widths[i] for i in by_rank) - width
        widths[index] -= max(0, min(excess, widths[index] - least[index]))
    return widths


def _sum(widths: Sequence[int], indexes: Sequence[int]) -> int:
    return sum(widths[index] for index in indexes) + GAP * (len(indexes) - 1)


def _widest(column: Column, cells: Sequence[Cell]) -> int:
    return max(cell_len(column.title), *(cell_len(str(cell)) for cell in cells))
