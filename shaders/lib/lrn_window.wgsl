// Square windows within planes, summed along rows and then along columns.

struct Params {
    items: u32,
    // Where the dispatch's planes start in their bindings.
    start: u32,
    height: u32,
    width: u32,
    // How far a window reaches back and on, on both axes.
    below: u32,
    above: u32,
    alpha: f32,
    k: f32,
}

// The first position of the window around `position`, and the one after the last.
fn window(position: u32, size: u32) -> vec2<u32> {
    return vec2(
        position - min(params.below, position),
        position + min(params.above, size - 1u - position) + 1u,
    );
}

// The number of positions in the window that is this one turned around.
fn turned_length(position: u32, size: u32) -> f32 {
    return f32(min(params.above, position) + min(params.below, size - 1u - position) + 1u);
}
