// Normalisation sees a tensor as [samples, groups, depth, plane]. Elements in a row of `block` = depth *
// plane share statistics, of which there are `sets` (one for each sample and group, or one for each
// group), and elements in a row of `plane` share one of the `parameters` = groups * depth.

fn set_of(element: u32, block: u32, sets: u32) -> u32 {
    return element / block % sets;
}

fn parameter_of(element: u32, plane: u32, parameters: u32) -> u32 {
    return element / plane % parameters;
}
