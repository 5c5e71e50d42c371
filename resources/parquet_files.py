"""What Parquet itself leaves to its reader: a file may state one number of rows and reserve memory for another, or point outside its own dictionary.

Belongs here: checks that any reader of a file it did not write needs. Does not: what the columns mean (the readers).
"""

import pyarrow as pa
import pyarrow.parquet as pq


def stated_rows(metadata: pq.FileMetaData) -> int:
    """Rows of a file, read before any memory is taken for them.

    Raises
    ------
    pyarrow.ArrowInvalid
        The file and its row groups state different numbers, so that one of them is damaged.
    """
    groups = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    if groups != metadata.num_rows:
        raise pa.ArrowInvalid(f"it states {metadata.num_rows:,} rows and its row groups {groups:,}")
    return int(metadata.num_rows)


def sound(table: pa.Table) -> pa.Table:
    """The table, once every value of it is known to be one.

    Raises
    ------
    pyarrow.ArrowInvalid
        A code outside its dictionary, an offset outside its buffer, text that is no UTF-8.
    """
    table.validate(full=True)
    return table
