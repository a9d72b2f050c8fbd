// What an average over a pooling window is divided by.

// Whether positions in the padding count, and a number to divide by whatever the window covers; 0 for
// none.
const COUNT_PADDING: bool = true;
const DIVISOR: u32 = 0u;

fn divisor(window_row: u32, window_column: u32) -> f32 {
    if DIVISOR != 0u {
        return f32(DIVISOR);
    }
    if COUNT_PADDING && !ADAPTIVE {
        return f32(padded_rows(window_row) * padded_columns(window_column));
    }
    let rows = rows_of(window_row);
    let columns = columns_of(window_column);
    return f32((rows.y - rows.x) * (columns.y - columns.x));
}
