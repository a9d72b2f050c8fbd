// Which of the windows along one axis cover a position.

// The first window that covers `position` (counted from the start of the padding), and the one after
// the last. Window o covers o * stride .. o * stride + window; there are `count` of them.
fn covering(position: u32, window: u32, stride: u32, count: u32) -> vec2<u32> {
    let last = position / stride + 1u;
    var first = 0u;
    if position >= window {
        first = (position - window) / stride + 1u;
    }
    return vec2(first, min(last, count));
}

// How many positions count for the window that starts at `start` (counted from the start of the
// padding): those in the input of `size` elements, and with `padded` those in the padding too.
fn counted(start: u32, window: u32, before: u32, size: u32, after: u32, padded: bool) -> u32 {
    if padded {
        return min(window, before + size + after - start);
    }
    return min(start + window, before + size) - max(start, before);
}
